from tasks.turns import turn_name


def test_a_store_has_one_name_however_it_is_spelled() -> None:
    assert turn_name("encode", "/srv/store/") == turn_name("encode", "/srv/store")
    assert turn_name("encode", "/srv/store") != turn_name("deliver", "/srv/store")
    name = turn_name("encode", "s3://user:pass@host/a b'\"%/\n")
    assert name.startswith("rinr-encode-")
    assert name.replace("-", "").isalnum()
