# Writes of Protobuf's wire format, in two passes over the same values: one counts, the other writes what was counted.

cdef struct Writer:
    unsigned char *into
    Py_ssize_t size
    Py_ssize_t room
# `into`: NULL: it only counts. `size`: bytes written or counted so far. `room`: most of them.


cdef inline Writer _counter():
    cdef Writer writer
    writer.into = NULL
    writer.size = 0
    writer.room = MOST_LENGTH
    return writer


cdef inline int _put(Writer *writer, const void *data, Py_ssize_t size) except -1:
    if size > writer.room - writer.size:
        raise _Left
    if writer.into != NULL:
        memcpy(writer.into + writer.size, data, size)
    writer.size += size
    return 0


cdef inline int _put_varint(Writer *writer, uint64_t number) except -1:
    cdef unsigned char more[10]
    cdef int size = 0
    while number >= 0x80:
        more[size] = <unsigned char>(number & 0x7F | 0x80)
        number >>= 7
        size += 1
    more[size] = <unsigned char>number
    return _put(writer, more, size + 1)


cdef inline int _put_tagged(Writer *writer, unsigned char tag, int64_t number) except -1:
    """A tag, and the number or length behind it, also if that is 0."""
    _put(writer, &tag, 1)
    return _put_varint(writer, <uint64_t>number)


cdef inline int64_t _number(object value) except -1:
    """A number in 0..2^63-1."""
    cdef int overflow = 0
    cdef long long number
    if not PyLong_CheckExact(value):
        raise _Left
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or number < 0:
        raise _Left
    return number


cdef inline int _put_number(Writer *writer, unsigned char tag, object value) except -1:
    """A number, left out if it is 0."""
    cdef int64_t number = _number(value)
    if number:
        _put_tagged(writer, tag, number)
    return 0


cdef inline int _put_flag(Writer *writer, unsigned char tag, object value) except -1:
    """A truth value, left out if it is false."""
    cdef unsigned char yes = 1
    if value is True:
        _put(writer, &tag, 1)
        _put(writer, &yes, 1)
    elif value is not False:
        raise _Left
    return 0


cdef list _column(object values):
    """A list of a column: its items are looked at twice, so it is made a list where it is none."""
    if PyList_CheckExact(values):
        return <list>values
    if PyTuple_CheckExact(values):
        return list(values)
    raise _Left


cdef int _put_texts(Writer *writer, unsigned char tag, list texts) except -1:
    cdef Py_ssize_t size = 0
    cdef const char *data
    for text in texts:
        if not PyUnicode_Check(text):
            raise _Left
        data = PyUnicode_AsUTF8AndSize(text, &size)
        _put_tagged(writer, tag, size)
        _put(writer, data, size)
    return 0


cdef int _put_payloads(Writer *writer, unsigned char tag, list values) except -1:
    for value in values:
        if not PyBytes_CheckExact(value):
            raise _Left
        _put_tagged(writer, tag, PyBytes_GET_SIZE(value))
        _put(writer, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    return 0


cdef int _put_packed(Writer *writer, unsigned char tag, list numbers) except -1:
    cdef Writer counter = _counter()
    if not numbers:
        return 0
    for number in numbers:
        _put_varint(&counter, <uint64_t>_number(number))
    _put_tagged(writer, tag, counter.size)
    for number in numbers:
        _put_varint(writer, <uint64_t>_number(number))
    return 0


ctypedef int (*Body)(Writer *writer, object record) except -1


cdef int _put_record(Writer *writer, unsigned char tag, Body body, object record, Py_ssize_t size) except -1:
    """A record whose body was counted."""
    cdef Py_ssize_t begin
    _put_tagged(writer, tag, size)
    begin = writer.size
    body(writer, record)
    if writer.size - begin != size:  # it was altered in between
        raise _Left
    return 0


cdef list _sizes(Body body, object records):
    """How long the bodies of records are."""
    cdef Writer counter
    cdef list sizes = []
    for record in records:
        counter = _counter()
        body(&counter, record)
        sizes.append(counter.size)
    return sizes


cdef bytes _frame(
    unsigned char first_tag, Body first_body, object first,
    unsigned char second_tag, Body second_body, object second,
    bytes rest, int64_t asked_at_ms,
):
    """A message whose field 2 is a frame of two kinds of records and a rest, and its field 6 a number."""
    cdef list firsts = _column(first), seconds = _column(second)
    cdef list first_sizes = _sizes(first_body, firsts), second_sizes = _sizes(second_body, seconds)
    cdef Py_ssize_t size, frame_size
    cdef Py_ssize_t place
    cdef Writer writer = _counter()
    cdef bytes message
    for size in first_sizes:
        _put_tagged(&writer, first_tag, size)
        if size > writer.room - writer.size:
            raise _Left
        writer.size += size
    for size in second_sizes:
        _put_tagged(&writer, second_tag, size)
        if size > writer.room - writer.size:
            raise _Left
        writer.size += size
    _put(&writer, PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))
    frame_size = writer.size
    _put_tagged(&writer, 0x12, frame_size)
    if asked_at_ms:
        _put_tagged(&writer, 0x30, asked_at_ms)
    message = PyBytes_FromStringAndSize(NULL, writer.size)
    writer.into = <unsigned char *>PyBytes_AS_STRING(message)
    writer.room = writer.size
    writer.size = 0
    _put_tagged(&writer, 0x12, frame_size)
    for place in range(len(first_sizes)):
        _put_record(&writer, first_tag, first_body, firsts[place], first_sizes[place])
    for place in range(len(second_sizes)):
        _put_record(&writer, second_tag, second_body, seconds[place], second_sizes[place])
    _put(&writer, PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest))
    if asked_at_ms:
        _put_tagged(&writer, 0x30, asked_at_ms)
    if writer.size != writer.room:
        raise _Left
    return message
