# cython: language_level=3, boundscheck=True, wraparound=False, embedsignature=True
"""Compiled twins of pure functions; `coherd._native` tells when they are used.

What is not plain and valid is left to the pure twin: inside by raising `_Left`, to callers as `LEFT`. Bytes from
strangers are read through `reading.pxi` only, and bytes are written through `writing.pxi` only: both check each step
against the end. No pointer and no view of a caller's bytes outlives a call.
"""

import sys

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_Copy, PyDict_Next, PyDict_SetItem
from cpython.float cimport PyFloat_CheckExact
from cpython.list cimport PyList_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_Check, PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact, PyUnicode_DecodeUTF8


cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_Check(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1


cdef extern from *:
    """
    #define MOST_DEPTH 64                               /* as coherd._near.documents.MAX_DEPTH */
    #define MOST_LENGTH ((Py_ssize_t)0x7FFFFFFF)        /* bytes of a message or field, as Protobuf has it */
    #define MOST_OUTCOME ((uint64_t)0x7FFFFFFF)         /* an enum's number is an int32 */
    #define MOST_FIRST_ID ((uint64_t)1 << 62)           /* as coherd_server.rpc.frame_bytes.MOST_FIRST_ID */
    """
    const char *SOURCE_DIGEST  # given by hatch_build.py
    const int MOST_DEPTH
    const Py_ssize_t MOST_LENGTH
    const uint64_t MOST_OUTCOME, MOST_FIRST_ID


class _Left(Exception):
    """The pure twin is to do it."""


SOURCE = SOURCE_DIGEST.decode()
"""Digest of the source it was compiled from."""
LEFT = NotImplemented
"""What a function returns that leaves its work to the pure twin."""

cdef object _size_of = sys.getsizeof

include "documents.pxi"
include "reading.pxi"
include "writing.pxi"
include "requests.pxi"
include "answers.pxi"
include "judging.pxi"
