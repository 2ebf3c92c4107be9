# The copy of a decoded JSON document; the twin of `coherd._near.documents.copy_document`.

def copy_document(value):
    """A copy of a document: dicts whose keys are texts, lists, and leaves of JSON, at most 64 containers deep.

    Returns:
        An equal value whose containers are all new; LEFT: it has other parts, or is nested too deeply.
    """
    try:
        return _copied(value, MOST_DEPTH)
    except _Left:
        return LEFT


cdef inline bint _is_leaf(object value):
    return (
        PyUnicode_CheckExact(value)
        or PyLong_CheckExact(value)
        or PyFloat_CheckExact(value)
        or value is None
        or value is True
        or value is False
        or PyBytes_CheckExact(value)
    )


cdef object _copied(object value, int depth):
    if _is_leaf(value):
        return value
    if depth == 0:
        raise _Left
    if PyDict_CheckExact(value):
        return _copied_dict(value, depth)
    if PyList_CheckExact(value):
        return _copied_list(value, depth)
    raise _Left


cdef dict _copied_dict(object value, int depth):
    # The copy is walked, which nobody else has; values of a dict may be replaced while it is walked.
    cdef dict new = PyDict_Copy(value)
    cdef PyObject *key_at
    cdef PyObject *item_at
    cdef Py_ssize_t place = 0
    cdef object key, item
    while PyDict_Next(new, &place, &key_at, &item_at):
        key = <object>key_at
        if not PyUnicode_CheckExact(key):
            raise _Left
        item = <object>item_at
        if not _is_leaf(item):
            PyDict_SetItem(new, key, _copied(item, depth - 1))
    return new


cdef list _copied_list(list value, int depth):
    cdef list new = value[:]
    cdef Py_ssize_t place
    cdef object item
    for place in range(len(new)):
        item = new[place]
        if not _is_leaf(item):
            new[place] = _copied(item, depth - 1)
    return new


def is_flat(value):
    """Whether a dict or list has no others in it."""
    cdef list items
    if PyDict_CheckExact(value):
        items = list((<dict>value).values())
    elif PyList_CheckExact(value):
        items = <list>value
    else:
        return False
    for item in items:
        if PyDict_CheckExact(item) or PyList_CheckExact(item):
            return False
    return True


def memory_bytes(value, long long most_bytes, long long copy_bytes, long long nested_copy_bytes):
    """The twin of `coherd._near.documents.memory_bytes`; of the same parts the same sum."""
    cdef long long total = 0
    cdef set keys = set()
    cdef list left = [value]
    cdef object part, item
    cdef bint nested
    while left and total <= most_bytes:
        part = left.pop()
        if PyDict_CheckExact(part) or PyList_CheckExact(part):
            nested = False
            items = part
            if PyDict_CheckExact(part):
                keys.update(part)
                items = list((<dict>part).values())
            for item in <list>items:
                if item is None or item is True or item is False:
                    continue
                if PyDict_CheckExact(item) or PyList_CheckExact(item):
                    nested = True
                left.append(item)
            total += <long long>_size_of(part) + (nested_copy_bytes if nested else copy_bytes)
        elif not PyLong_CheckExact(part) or not -5 <= part <= 256:
            total += <long long>_size_of(part)
    for item in keys:
        total += <long long>_size_of(item)
    return total
