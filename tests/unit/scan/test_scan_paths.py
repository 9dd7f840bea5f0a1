"""Accounts and partitions that stand in file names."""

import pytest

from gate.scan.paths import partitions_of_path, path_reader


@pytest.mark.parametrize(
    ("pattern", "path", "account"),
    [
        ("{account}/*.wav", "acme/1.wav", "acme"),
        ("{account}/*.wav", "acme/deep/1.wav", None),
        ("{account}/*.wav", "1.wav", None),
        ("{account}/**", "acme/deep/1.wav", "acme"),
        ("**/{account}/*.wav", "acme/1.wav", "acme"),
        ("**/{account}/*.wav", "2023/08/acme/1.wav", "acme"),
        ("*/{account}.wav", "2023/acme.wav", "acme"),
        ("acct={account}/part-?.parquet", "acct=a b/part-0.parquet", "a b"),
        ("{account}.wav", "a.b.wav", "a.b"),
        ("rec_{account}.wav", "rec_007.wav", "007"),
        ("[x]{account}.wav", "[x]acme.wav", "acme"),
        ("[x]{account}.wav", "xacme.wav", None),
        ("{account}/*.wav", "acme/\n.wav", "acme"),
        ("{account}/*.wav", "acme/1.WAV", None),
        ("{x}/{account}", "{x}/acme", "acme"),
    ],
)
def test_pattern_names_the_account(pattern, path, account):
    assert path_reader(pattern)(path) == account


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("{account}-*.wav", "acme-eu-1.wav"),  # acme, or acme-eu
        ("*-{account}.wav", "1-acme-eu.wav"),
        ("{account}*.wav", "acme.wav"),
        ("*{account}.wav", "acme.wav"),
        ("**/{account}/**", "a/b/c"),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_names_no_account(pattern, path):
    assert path_reader(pattern)(path) is None


def test_partitions_are_folders_not_files_and_unquoted():
    assert partitions_of_path("account=a%2Fb/day=__HIVE_DEFAULT_PARTITION__/x=1.csv") == {"account": "a/b", "day": None}
    assert partitions_of_path("plain/=x/file") == {}
