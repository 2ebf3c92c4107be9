from a.v1.types_pb2 import Thing as ThingOfA
from b.v1.types_pb2 import Thing as ThingOfB
from input_coherd import One, Other

assert isinstance(One.codec.decode(b""), ThingOfA)
assert isinstance(Other.codec.decode(b""), ThingOfB)
assert Other(colour="red") == "two:other:colour:red"
