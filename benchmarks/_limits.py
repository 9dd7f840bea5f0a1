"""What is known to limit the measurements that missed their bar, by how their names begin."""

WHY = {
    "coverage of": (
        "**Coverage beside a raw scan**: the least join that answers anything, DuckDB's own anti join of the same "
        "rows with the same accounts, takes more than the bar allows on two cores; ours also counts accounts and "
        "takes little more than that."
    ),
    "snapshot kept": (
        "**A kept snapshot and coverage beside a raw scan**: the same, for the snapshot is there already."
    ),
    "snapshot made": (
        "**A snapshot made and coverage beside a raw scan**: coverage alone takes most of the bar (see above); making "
        "the snapshot takes less than coverage."
    ),
    "consent lookup": ("**Consent lookup on PostgreSQL**: six statements, each a way to the server and back."),
    "coverage / pandas": (
        "**Coverage beside pandas `isin`**: pandas 3 looks up Arrow text, which is several times as fast as the "
        "objects that the bar was measured with."
    ),
    "subset": (
        "**Subset beside COPY**: DuckDB's semi join loses the order of the rows. Which rows stay is worked out first "
        "(one more reading of the account column), then they are copied in order, and their schema is compared."
    ),
    "import": (
        "**Import, events a second**: a bare insert of ready rows takes nearly the whole time of the bar here. An "
        "entry is also checked, made canonical and hashed into the tree, and its personal texts are split off and "
        "salted."
    ),
    "growth of": ("**Growth**: so is the bare insert's, whose B-trees grow; see the note of the row."),
    "verify": ("**Verifying on PostgreSQL**: rows come over a socket, the peer has them in memory."),
    "gate task": (
        "**A gate task beside one that does nothing**: what is left with `GATE_PRELOAD=on` is the decision itself: "
        "three engines opened (13 ms each), SQL compiled, consents joined, an entry appended with its permit and "
        "event, synced to disk."
    ),
    "the same, nothing": (
        "**Without preloading**: a task is a fresh process; DuckDB, Arrow, Ibis and the OpenLineage client take most "
        "of a second to import. `GATE_PRELOAD=on` has Airflow import them before it forks tasks."
    ),
    "redemption": (
        "**Redemption beside a bare insert**: 2.8 to 3.4 times from run to run of one day; each waits for the disk, "
        "and takes 3 ms of processor."
    ),
    "taking events": (
        "**Taking events in**: an event is written with its keys in order, for its digest must not depend on who sent "
        "it; that alone is twice the peer's work."
    ),
}
