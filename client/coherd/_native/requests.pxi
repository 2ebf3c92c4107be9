# Frames of requests, `coherd.v1.SessionRequest`: the client writes them, the server reads them.

cdef int _gets_body(Writer *writer, object record) except -1:
    first_id, timeout_ms, accept_stale, keys = record
    _put_number(writer, 0x08, first_id)
    _put_number(writer, 0x10, timeout_ms)
    _put_flag(writer, 0x18, accept_stale)
    _put_texts(writer, 0x22, _column(keys))
    return 0


cdef int _sets_body(Writer *writer, object record) except -1:
    first_id, timeout_ms, options, keys, values, versions = record
    ttl_ms, extra_tags, only_if_absent, negative = options
    if extra_tags is not None and not (PyDict_CheckExact(extra_tags) and len(<dict>extra_tags) == 0):
        raise _Left
    _put_number(writer, 0x08, first_id)
    _put_number(writer, 0x10, timeout_ms)
    _put_texts(writer, 0x1A, _column(keys))
    _put_payloads(writer, 0x22, _column(values))
    if ttl_ms is not None:
        _put_tagged(writer, 0x28, _number(ttl_ms))
    _put_flag(writer, 0x38, only_if_absent)
    _put_packed(writer, 0x42, _column(versions))
    _put_flag(writer, 0x48, negative)
    return 0


def encode_frame(gets, sets, operations=b"", asked_at_ms=0):
    """The twin of `coherd._rpc.frames.encode_frame`; LEFT where something has extra tags, or is not as it says there."""
    if not PyBytes_CheckExact(operations):
        return LEFT
    try:
        return _frame(0x12, _gets_body, gets, 0x1A, _sets_body, sets, operations, _number(asked_at_ms))
    except (_Left, UnicodeError):
        return LEFT


cdef tuple _gets(Reader *reader, Py_ssize_t *left):
    cdef uint64_t first_id = 0, ignored = 0, accept_stale = 0
    cdef list keys = []
    cdef int tag
    while reader.at < reader.end:
        tag = _byte(reader)
        if tag == 0x22:
            left[0] -= 1
            if left[0] < 0:
                raise _Left
            keys.append(_text(reader))
        elif tag == 0x08:
            _varint(reader, &first_id)
        elif tag == 0x10:
            _varint(reader, &ignored)
        elif tag == 0x18:
            _varint(reader, &accept_stale)
        else:
            raise _Left
    if not keys or first_id > MOST_FIRST_ID:
        raise _Left
    return (first_id, accept_stale != 0, keys)


cdef tuple _sets(Reader *reader, Py_ssize_t *left):
    cdef uint64_t first_id = 0, timeout_ms = 0, ttl_ms = 0, only_if_absent = 0, negative = 0
    cdef bint has_ttl = False
    cdef list keys = [], values = [], versions = []
    cdef Py_ssize_t most = left[0]
    cdef int tag
    while reader.at < reader.end:
        tag = _byte(reader)
        if tag == 0x1A:
            left[0] -= 1
            if left[0] < 0:
                raise _Left
            keys.append(_text(reader))
        elif tag == 0x22:
            if len(values) >= most:
                raise _Left
            values.append(_bytes(reader))
        elif tag == 0x08:
            _varint(reader, &first_id)
        elif tag == 0x10:
            _varint(reader, &timeout_ms)
        elif tag == 0x28:
            _varint(reader, &ttl_ms)
            has_ttl = True
        elif tag == 0x38:
            _varint(reader, &only_if_absent)
        elif tag == 0x42:
            _packed(reader, versions, <uint64_t>-1, most)
        elif tag == 0x48:
            _varint(reader, &negative)
        else:
            raise _Left
    if not keys or first_id > MOST_FIRST_ID or len(values) != len(keys):
        raise _Left
    if versions and len(versions) != len(keys):
        raise _Left
    return (
        first_id, <int64_t>timeout_ms, keys, values, <int64_t>ttl_ms if has_ttl else None, {}, only_if_absent != 0,
        versions, negative != 0,
    )


def decode_request(data, Py_ssize_t most):
    """The twin of `coherd_server.rpc.frame_bytes.decode_message`, of frames that have no operations.

    Args:
        data: the bytes that came, `bytes`.
        most: most gets and sets of a frame.

    Returns:
        Records of gets and of sets, in the order of the fields of the twin's; how many gets and sets; and
        `asked_at_ms`. LEFT: it is something else, or to be refused.
    """
    if not PyBytes_CheckExact(data):
        return LEFT
    try:
        return _request(data, most)
    except (_Left, UnicodeError):
        return LEFT


cdef tuple _request(bytes data, Py_ssize_t most):
    cdef Reader reader, frame, record
    cdef uint64_t asked_at_ms = 0
    cdef Py_ssize_t left = most
    cdef list gets = [], sets = []
    cdef bint has_frame = False
    cdef int tag
    _open(&reader, data)
    while reader.at < reader.end:
        tag = _byte(&reader)
        if tag == 0x30:
            _varint(&reader, &asked_at_ms)
            continue
        if tag != 0x12 or has_frame:
            raise _Left
        has_frame = True
        _part(&reader, &frame)
        while frame.at < frame.end:
            tag = _byte(&frame)
            if tag != 0x12 and tag != 0x1A:
                raise _Left
            _part(&frame, &record)
            if tag == 0x12:
                gets.append(_gets(&record, &left))
            else:
                sets.append(_sets(&record, &left))
    if left == most:  # nothing is asked
        raise _Left
    return (gets, sets, most - left, <int64_t>asked_at_ms)
