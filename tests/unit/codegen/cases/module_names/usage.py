import a.b.c_pb2
import a_b.c_pb2
import a_b_c_pb2
from dotted.v1_coherd import One, Own, Three, Two
from dotted.v1_pb2 import OwnKey

assert isinstance(One.codec.decode(b""), a.b.c_pb2.Thing)
assert isinstance(Two.codec.decode(b""), a_b.c_pb2.Thing)
assert isinstance(Three.codec.decode(b""), a_b_c_pb2.Thing)
assert isinstance(Own.codec.decode(b""), OwnKey)
assert One(colour=a.b.c_pb2.COLOUR_RED) == "dotted:one:colour:red"
