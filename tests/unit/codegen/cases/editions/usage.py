import datetime

import input_pb2
import later_pb2
from input_coherd import Group, Plain
from later_coherd import Read

key = Plain(text="t", number=0, size=input_pb2.SIZE_SMALL, day=datetime.date(2025, 8, 6))
assert key == "edition:plain:text:t:number:0:size:small:day:20250806"
assert (key.text, key.number, key.size, key.day) == ("t", 0, "small", datetime.date(2025, 8, 6))
value = input_pb2.Value(group={"number": 7})
value.Extensions[input_pb2.note] = "n"
assert Plain.codec.decode(Plain.codec.encode(value)) == value
assert Group(flag=False) == "edition:group:flag:false"
assert Group.codec.decode(Group.codec.encode(value.group)).number == 7
assert Read(size=later_pb2.Value.SIZE_SMALL) == "later:read:size:small"
assert isinstance(Read.codec.decode(b""), later_pb2.Value)
