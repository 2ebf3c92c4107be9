# Stored entries, judged in columns; the twin of `coherd_server.core.read_columns.judge_plain` [current-stamps].

cdef extern from *:
    """
    /* as in coherd_server.core.entry */
    static const unsigned char PLAIN_START[16] = {0xF5, 0x43, 0x48, 1};
    #define START_BYTES 16
    #define FIXED_BYTES 42
    #define IDENTITY_BYTES 8
    #define MOST_TIME ((uint64_t)0x7FFFFFFFFFFFFFFF)
    """
    const unsigned char *PLAIN_START
    const Py_ssize_t START_BYTES, FIXED_BYTES, IDENTITY_BYTES
    const uint64_t MOST_TIME

cdef bytes ANY_IDENTITY = bytes(IDENTITY_BYTES)


cdef enum Found:
    FRESH, ABSENT, EXPIRED, DEAD, OTHER


cdef struct Entry:
    uint64_t written_ms
    uint64_t until_ms
    uint64_t stale_ms
    const unsigned char *block
    Py_ssize_t block_size
    Py_ssize_t size
# `size`: where the payload begins. `block` points into the bytes that were opened.


cdef uint64_t _big_endian(const unsigned char *at, int size) noexcept:
    cdef uint64_t number = 0
    cdef int place
    for place in range(size):
        number = number << 8 | at[place]
    return number


cdef bint _open_entry(Entry *entry, bytes raw):
    """Read the header of a plain entry; False: it is another one, or damaged."""
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(raw)
    cdef Py_ssize_t length = PyBytes_GET_SIZE(raw)
    if length < FIXED_BYTES or memcmp(data, PLAIN_START, START_BYTES) != 0:
        return False
    entry.written_ms = _big_endian(data + 16, 8)
    entry.until_ms = _big_endian(data + 24, 8)
    entry.stale_ms = _big_endian(data + 32, 4)
    entry.block_size = <Py_ssize_t>_big_endian(data + 40, 2)
    entry.block = data + FIXED_BYTES
    entry.size = FIXED_BYTES + entry.block_size
    return length >= entry.size and entry.block_size > IDENTITY_BYTES and entry.until_ms <= MOST_TIME


cdef inline object _field(object record, Py_ssize_t place):
    """A field of a named tuple."""
    if not PyTuple_Check(record) or place >= PyTuple_GET_SIZE(record):
        raise _Left
    return <object>PyTuple_GET_ITEM(record, place)


cdef inline bint _same(const unsigned char **at, const unsigned char *end, bytes expected):
    """Whether these bytes come next; then they are passed."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(expected)
    if size > end - at[0] or memcmp(at[0], PyBytes_AS_STRING(expected), size) != 0:
        return False
    at[0] += size
    return True


cdef inline bytes _bytes_of(object value):
    if not PyBytes_CheckExact(value):
        raise _Left
    return <bytes>value


cdef Found _stamps(Entry *entry, tuple starts, dict epochs, bytes identity, bytes shown, bint keep) except *:
    """FRESH: all stamps are current; DEAD: one is not; OTHER: for one there is no epoch, or another node holds it."""
    cdef const unsigned char *at = entry.block
    cdef const unsigned char *end = entry.block + entry.block_size
    cdef bint current = at[0] == 1
    cdef object read, epoch
    at += 1
    current = current and _same(&at, end, shown)
    for start in starts:
        read = epochs.get(_field(start, 1))
        if read is None:
            return OTHER
        epoch = _field(read, 0)
        if epoch is None or not (keep or _bytes_of(_field(read, 1)) == identity):
            return OTHER
        current = current and _same(&at, end, _bytes_of(_field(start, 0))) and _same(&at, end, _bytes_of(epoch))
    return FRESH if current and at == end else DEAD


def judge_plain(keys, reads, epochs, states, keep_failover):
    """What plain entries are worth.

    Args:
        keys, reads, epochs: as there; reads are three columns.
        states: what stands for FRESH, ABSENT, EXPIRED and INVALIDATED, in this order.
        keep_failover: the value of `on_failover` of domains whose entries waive the identity.

    Returns:
        The four columns, and the places of those that are judged one by one. LEFT: something is of another shape.
    """
    if not (PyDict_CheckExact(epochs) and PyTuple_CheckExact(states) and len(<tuple>states) == 4):
        return LEFT
    try:
        raws, identities, times = _column(_field(reads, 0)), _column(_field(reads, 1)), _column(_field(reads, 2))
        return _judged(_column(keys), raws, identities, times, epochs, states, keep_failover)
    except _Left:
        return LEFT


cdef tuple _judged(
    list keys, list raws, list identities, list times, dict epochs, tuple states, object keep_failover
):
    cdef list found = [], values = [], remaining = [], ages = [], others = []
    cdef object domain_of = None, domain, raw, starts
    cdef bint keep = False
    cdef bytes identity
    cdef uint64_t now_ms
    cdef Py_ssize_t place
    cdef Found state
    cdef Entry entry
    if not len(keys) == len(raws) == len(identities) == len(times):
        raise _Left
    for place in range(len(keys)):
        key, raw = keys[place], raws[place]
        if raw is None:
            state = ABSENT
        elif not _open_entry(&entry, _bytes_of(raw)):
            state = OTHER
        else:
            domain, starts = _field(key, 2), _field(key, 6)
            if domain is not domain_of:
                domain_of, keep = domain, domain.on_failover is keep_failover
            identity = _bytes_of(identities[place])
            if PyBytes_GET_SIZE(identity) != IDENTITY_BYTES or not PyTuple_CheckExact(starts):
                raise _Left
            now_ms = <uint64_t>_number(times[place])
            state = _stamps(&entry, <tuple>starts, epochs, identity, ANY_IDENTITY if keep else identity, keep)
            now_ms = max(now_ms, entry.written_ms)
            if state == FRESH and entry.until_ms <= now_ms:
                state = EXPIRED if now_ms >= entry.until_ms + entry.stale_ms else OTHER
        if state == OTHER:
            others.append(place)
        found.append(None if state == OTHER else states[<Py_ssize_t>state])
        if state == FRESH:
            values.append(PyBytes_FromStringAndSize(
                PyBytes_AS_STRING(<bytes>raw) + entry.size, PyBytes_GET_SIZE(<bytes>raw) - entry.size
            ))
            remaining.append(entry.until_ms - now_ms)
            ages.append(now_ms - entry.written_ms)
        else:
            values.append(b"")
            remaining.append(0)
            ages.append(0)
    return (found, values, remaining, ages, others)
