"""The reason table covers the enum, and says what the enum's comments promise."""

from __future__ import annotations

import pickle

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from coherd.catalog.load import builtin_catalog
from coherd.catalog.source_files import Comments
from coherd.contract.reasons import REASONS, Refusal, Retry, reason_name, reason_of
from coherd.v1.errors_pb2 import ErrorReason


def test_every_reason_has_one_row() -> None:
    assert set(REASONS) == set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED}


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_the_comment_of_a_reason_begins_with_its_code(reason: int) -> None:
    file = FileDescriptorProto.FromString(builtin_catalog().files["coherd/v1/errors.proto"])
    position = [value.number for value in file.enum_type[0].value].index(reason)
    comment = Comments(file).of((5, 0, 2, position))
    row = REASONS[reason]
    assert comment.startswith(row.code)
    assert ("RetryInfo" in comment) == (row.retry_after_ms > 0)


@pytest.mark.parametrize("reason", sorted(REASONS))
def test_codes_are_those_of_grpc_and_advice_fits_the_retry_class(reason: int) -> None:
    row = REASONS[reason]
    assert row.code in grpc.StatusCode.__members__
    assert (row.retry_after_ms > 0) == (row.retry is Retry.SAFE)


@pytest.mark.parametrize("reason", ErrorReason.values())
def test_names_on_the_wire_lead_back(reason: int) -> None:
    assert reason_of(reason_name(reason)) == reason


def test_a_name_of_a_later_version_is_unspecified() -> None:
    assert reason_of("OUT_OF_COFFEE") == ErrorReason.ERROR_REASON_UNSPECIFIED


def test_a_refusal_survives_pickling() -> None:
    refusal = Refusal(ErrorReason.ERROR_REASON_TTL_INVALID, "too long", field="ttl_ms")
    again = pickle.loads(pickle.dumps(refusal))
    assert (again.reason, str(again), again.field) == (refusal.reason, "too long", "ttl_ms")
