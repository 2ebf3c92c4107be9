import typing

import input_pb2
import pytest
from input_coherd import Date, DateLike_, FooBar, Foobar, Type, TypeAlias_

from coherd.contract.keys import DateLike

assert FooBar(kind="small") == FooBar(kind=input_pb2.SIZE_SMALL) == "alike:foo_bar:kind:small"
assert Foobar(kind="red") == Foobar(kind=input_pb2.TINT_RED) == "alike:foobar:kind:red"
for wrong in (lambda: FooBar(kind="red"), lambda: Foobar(kind="small")):
    with pytest.raises(ValueError, match="identifier 'kind' must be one of"):
        wrong()
assert Type(alias="big").alias in typing.get_args(TypeAlias_)
date = Date(like="big", day="20250806", input_pb2=input_pb2.TINT_BLUE)
assert date == "alike:date:like:big:day:20250806:input_pb2:blue"
assert date.input_pb2_ == "blue"
hints = typing.get_type_hints(Date.__new__)
assert hints["day"] == DateLike
assert "big" in str(hints["like"])
assert typing.get_args(DateLike_) == ("small", "big")
