import datetime

from input_coherd import Any_, Key_, LowerCase, NamedInvalidation_, None_

key = Key_(class_="1", self="2", cls_="3", domain="4", from_="5", resource="6", codec="7")
assert key == "names:key:class:1:self:2:cls:3:domain:4:from:5:resource:6:codec:7"
assert (key.class_, key.self, key.cls_, key.domain_, key.from_, key.resource_, key.codec_) == tuple("1234567")
assert (Key_.domain, Key_.resource) == ("names", "key")
assert repr(key) == "Key_(class_='1', self='2', cls_='3', domain='4', from_='5', resource='6', codec='7')"
assert Key_.parse(str(key)) == key
any_ = Any_(str="s", int=1, bool=True, property="p", datetime="20250806", date=datetime.date(2025, 8, 6))
assert (any_.str_, any_.int_, any_.bool_, any_.property_) == ("s", 1, True, "p")
assert any_.datetime_ == any_.date == datetime.date(2025, 8, 6)
none = None_(count="1", format="2", string_part_="3", parse="4", identifiers="5", id="6", type="7", super="8")
assert (none.count_, none.format_, none.string_part_, none.parse_, none.identifiers_) == tuple("12345")
assert (none.id, none.type, none.super) == tuple("678")
assert none.count(":") == 17
assert LowerCase(keys="k").resource == "lower_case"
assert NamedInvalidation_("v").name == "named_invalidation"
