# Reads of Protobuf's wire format. Each read checks what is left before it takes something.

cdef struct Reader:
    const unsigned char *at
    const unsigned char *end


cdef int _open(Reader *reader, bytes data) except -1:
    """Read a message. The reader must not outlive it."""
    reader.at = <const unsigned char *>PyBytes_AS_STRING(data)
    reader.end = reader.at + PyBytes_GET_SIZE(data)
    if PyBytes_GET_SIZE(data) > MOST_LENGTH:
        raise _Left
    return 0


cdef inline int _byte(Reader *reader) except -1:
    cdef int byte
    if reader.at >= reader.end:
        raise _Left
    byte = reader.at[0]
    reader.at += 1
    return byte


cdef inline int _varint(Reader *reader, uint64_t *number) except -1:
    cdef uint64_t whole = 0
    cdef int shift = 0
    cdef int byte
    while True:
        byte = _byte(reader)
        if shift == 63 and byte > 1:  # beyond 64 bits
            raise _Left
        whole |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            number[0] = whole
            return 0
        shift += 7


cdef inline int _part(Reader *reader, Reader *part) except -1:
    """What a field of bytes holds, as a reader of its own."""
    cdef uint64_t length = 0
    cdef const unsigned char *begin = reader.at
    _varint(reader, &length)
    if reader.at - begin > 5 or length > <uint64_t>MOST_LENGTH or length > <uint64_t>(reader.end - reader.at):
        raise _Left
    part.at = reader.at
    reader.at += <Py_ssize_t>length
    part.end = reader.at
    return 0


cdef inline object _text(Reader *reader):
    cdef Reader part
    _part(reader, &part)
    return PyUnicode_DecodeUTF8(<const char *>part.at, part.end - part.at, NULL)


cdef inline bytes _bytes(Reader *reader):
    cdef Reader part
    _part(reader, &part)
    return PyBytes_FromStringAndSize(<const char *>part.at, part.end - part.at)


cdef int _packed(Reader *reader, list numbers, uint64_t highest, Py_ssize_t most) except -1:
    """The numbers of a packed field, appended to none.

    Args:
        highest: larger ones are left; 0: they are signed.
        most: longer columns are left.
    """
    cdef Reader part
    cdef uint64_t number = 0
    if numbers:  # the field stands there twice
        raise _Left
    _part(reader, &part)
    while part.at < part.end:
        _varint(&part, &number)
        if len(numbers) >= most:
            raise _Left
        if highest == 0:
            numbers.append(<int64_t>number)
        elif number > highest:
            raise _Left
        else:
            numbers.append(number)
    return 0
