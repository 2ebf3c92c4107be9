import datetime

import input_pb2
import pytest
from google.protobuf.struct_pb2 import Struct
from input_coherd import Integers, Nested, Others

low = {
    "a": -(2**31),
    "b": -(2**63),
    "c": 0,
    "d": 0,
    "e": -(2**31),
    "f": -(2**63),
    "g": 0,
    "h": 0,
    "i": -(2**31),
    "j": -(2**63),
}
lowest = Integers(**low)
assert lowest.endswith(":j:-9223372036854775808ms")
assert {name: getattr(lowest, name) for name in low} == low
for name, value in low.items():
    with pytest.raises(ValueError, match=f"'{name}' must be in"):
        Integers(**(low | {name: value - 1}))
key = Others(text="true", flag=False, size="extra_large", day="20240229", time_zone=input_pb2.MARS)
assert key == "types:others:text:true:flag:false:size:extra_large:day:20240229:time_zone:mars"
assert (key.flag, key.size, key.day, key.time_zone) == (False, "extra_large", datetime.date(2024, 2, 29), "mars")
assert Others.parse(str(key)) == key
assert Others(text="t", flag=True, size=1, day="20240229", time_zone=0).time_zone == "earth"
for wrong in ({"flag": 1}, {"size": "SMALL"}, {"size": 0}, {"size": True}, {"day": "20230229"}, {"text": ""}):
    with pytest.raises(ValueError, match=f"identifier '{next(iter(wrong))}'"):
        Others(**({"text": "t", "flag": True, "size": 1, "day": "20240229", "time_zone": 0} | wrong))
assert Others.codec.encode(Struct()) == b""
assert Nested(kind=input_pb2.Outer.KIND_ONE).kind == "one"
assert Nested.codec.decode(b"") == input_pb2.Outer.Inner.Value()
