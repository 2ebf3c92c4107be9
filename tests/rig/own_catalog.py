"""A catalog of a test's own, with every kind of identifier and value; a server gets only its compiled form."""

from __future__ import annotations

from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from rig.protos import compile_text

TEXT = """
syntax = "proto3";
package kinds.v1;
import "coherd/v1/annotations.proto";
import "coherd/v1/values.proto";
import "google/protobuf/timestamp.proto";

// Everything a catalog can say.
service KindsCache {
  option (coherd.v1.domain) = { name: "kinds" ttl: { seconds: 60 } tags: "who" };
  // Looked up by every kind of identifier.
  rpc Mixed(MixedKey) returns (Report) {}
  // There is one of it.
  rpc Single(SingleKey) returns (google.protobuf.Timestamp) {}
  rpc Plain(PlainKey) returns (coherd.v1.Json) {}
}
// Key of Mixed.
message MixedKey {
  // Whose it is.
  string who = 1;
  int64 offset = 2;
  uint32 days = 3 [(coherd.v1.identifier) = { unit: "d" }];
  string day = 4 [(coherd.v1.identifier) = { format: DATE }];
  Colour colour = 5;
  bool full = 6;
}
// Key of Single.
message SingleKey {}
// Key of Plain.
message PlainKey { string id = 1; }
// What is cached.
message Report {
  // How many.
  uint64 count = 1;
  repeated string words = 2;
  google.protobuf.Timestamp made_at = 3;
}
enum Colour { COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; COLOUR_DARK_BLUE = 2; }
"""
SERVICE = "kinds.v1.KindsCache"


class OwnCatalog:
    """The compiled catalog in a file, and its message types."""

    def __init__(self, directory: Path) -> None:
        data = compile_text(directory, TEXT, name="kinds/v1/kinds.proto")
        self.file = directory / "own.binpb"
        self.file.write_bytes(data)
        pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            pool.Add(file)
        self._pool = pool

    def message(self, name: str) -> type[Message]:
        """A message type of the catalog by its short name."""
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName(f"kinds.v1.{name}"))
