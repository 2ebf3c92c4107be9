def test_x(stand, name):
    k = f"analytics:daily:user:{name}:date:20250806"
    assert stand.caller.set(k, b"abc")=="STORED"
    assert stand.caller.value(k)==b"abc"
    print(stand.redis().get("suite:"+k))
