"""Figures as people say them."""


def duration(seconds: float) -> str:
    """0.42 -> '0.42 s', 75 -> '1 min 15 s', 90000 -> '1 d 1 h'."""
    if seconds < 10:
        return f"{seconds:.2f} s".replace(".00 s", " s")
    if seconds < 60:
        return f"{seconds:.0f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    rest, said = round(seconds), []
    for name, length in units:
        count, rest = divmod(rest, length)
        if count:
            said.append(f"{count} {name}")
    return " ".join(said[:2])
