"""Our literal top-level names belong to us alone, in this environment."""

from flows.doctor import TOP_LEVEL, foreign_owners


def test_no_installed_distribution_owns_one_of_our_names() -> None:
    foreign = foreign_owners()
    culprits = sorted({owner for owners in foreign.values() for owner in owners})
    assert not foreign, (
        f"{foreign} share our package names {TOP_LEVEL}, and one of the two is shadowed: "
        f"pip uninstall {' '.join(culprits)}"
    )
