from input_coherd import Long, NoSummary, Quotes, Silent

assert Quotes.__doc__ is not None
assert Quotes.__doc__.startswith('""" os.remove("x") """ and \\N{BULLET} \\x \\')
assert Long.__doc__ is not None
assert Silent(user="{u}", first_name="%").user == "{u}"
assert NoSummary("u").value == "u"
