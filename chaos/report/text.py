"""Figures for people."""


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def distribution(values, unit, digits=0):
    if not values:
        return "none"
    ordered = sorted(values)
    return (f"p50 {quantile(ordered, 0.5):.{digits}f} {unit}, "
            f"p99 {quantile(ordered, 0.99):.{digits}f} {unit}, "
            f"max {ordered[-1]:.{digits}f} {unit} (of {len(ordered)})")
