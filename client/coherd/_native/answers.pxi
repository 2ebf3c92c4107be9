# Frames of answers, `coherd.v1.SessionResponse`: the server writes them, the client reads them.

cdef int _got_body(Writer *writer, object record) except -1:
    first_id, outcomes, values, remaining_ttl_ms, ages_ms = record
    _put_number(writer, 0x08, first_id)
    _put_outcomes(writer, 0x12, outcomes)
    _put_payloads(writer, 0x1A, _column(values))
    _put_packed(writer, 0x22, _column(remaining_ttl_ms))
    _put_packed(writer, 0x2A, _column(ages_ms))
    return 0


cdef int _done_body(Writer *writer, object record) except -1:
    first_id, outcomes, ttls_ms = record
    _put_number(writer, 0x08, first_id)
    _put_outcomes(writer, 0x12, outcomes)
    _put_packed(writer, 0x1A, _column(ttls_ms))
    return 0


cdef int _put_outcomes(Writer *writer, unsigned char tag, object outcomes) except -1:
    cdef list column = _column(outcomes)
    for outcome in column:
        if <uint64_t>_number(outcome) > MOST_OUTCOME:
            raise _Left
    return _put_packed(writer, tag, column)


def encode_answers(gets, sets):
    """The twin of `coherd_server.rpc.frame_bytes.encode_answers`, where there are no other answers.

    Returns:
        The message; LEFT: something is not as it says there.
    """
    try:
        return _frame(0x12, _got_body, gets, 0x1A, _done_body, sets, b"", 0)
    except _Left:
        return LEFT


cdef tuple _got(Reader *reader):
    cdef uint64_t first_id = 0
    cdef list outcomes = [], values = [], remaining_ttl_ms = [], ages_ms = []
    cdef Py_ssize_t size
    cdef int tag
    while reader.at < reader.end:
        tag = _byte(reader)
        if tag == 0x1A:
            values.append(_bytes(reader))
        elif tag == 0x08:
            _varint(reader, &first_id)
        elif tag == 0x12:
            _packed(reader, outcomes, MOST_OUTCOME, PY_SSIZE_T_MAX)
        elif tag == 0x22:
            _packed(reader, remaining_ttl_ms, 0, PY_SSIZE_T_MAX)
        elif tag == 0x2A:
            _packed(reader, ages_ms, 0, PY_SSIZE_T_MAX)
        else:
            raise _Left
    size = len(outcomes)
    if len(values) != size or len(remaining_ttl_ms) != size or len(ages_ms) != size:
        raise _Left
    return (first_id, outcomes, values, remaining_ttl_ms, ages_ms)


cdef tuple _done(Reader *reader):
    cdef uint64_t first_id = 0
    cdef list outcomes = [], ttls_ms = []
    cdef int tag
    while reader.at < reader.end:
        tag = _byte(reader)
        if tag == 0x08:
            _varint(reader, &first_id)
        elif tag == 0x12:
            _packed(reader, outcomes, MOST_OUTCOME, PY_SSIZE_T_MAX)
        elif tag == 0x1A:
            _packed(reader, ttls_ms, 0, PY_SSIZE_T_MAX)
        else:
            raise _Left
    if len(ttls_ms) != len(outcomes):
        raise _Left
    return (first_id, outcomes, ttls_ms)


def decode_answers(data):
    """The twin of `coherd._rpc.frames.decode_message`, of frames that have only answers in columns.

    Args:
        data: the bytes that came, `bytes`.

    Returns:
        Records of answers to gets and to sets, in the order of the fields of the twin's. LEFT: it is something else.
    """
    if not PyBytes_CheckExact(data):
        return LEFT
    try:
        return _answers(data)
    except _Left:
        return LEFT


cdef tuple _answers(bytes data):
    cdef Reader reader, record
    cdef list gets = [], sets = []
    cdef int tag
    _open(&reader, data)
    if _byte(&reader) != 0x12:
        raise _Left
    _part(&reader, &record)
    if reader.at != reader.end:
        raise _Left
    reader = record
    while reader.at < reader.end:
        tag = _byte(&reader)
        if tag != 0x12 and tag != 0x1A:
            raise _Left
        _part(&reader, &record)
        if tag == 0x12:
            gets.append(_got(&record))
        else:
            sets.append(_done(&record))
    return (gets, sets)
