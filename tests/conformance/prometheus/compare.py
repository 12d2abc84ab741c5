"""Whether two answers of the query API say the same."""
import math
import re

# Sums are made in another order and with another compensation. What remains where all should cancel
# is next to nothing.
TOLERANCE = 1e-12
NOTHING = 1e-14


def same_number(left, right, tolerance=TOLERANCE):
    if left == right:
        return True
    left, right = float(left), float(right)
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or math.isclose(left, right, rel_tol=tolerance, abs_tol=NOTHING)


def difference_of_points(ours, theirs):
    if ours[0] != theirs[0]:
        return f"times {ours[0]} and {theirs[0]}"
    if isinstance(ours[1], dict) or isinstance(theirs[1], dict):
        return difference_of_histograms(ours[1], theirs[1])
    return None if same_number(ours[1], theirs[1]) else f"{ours[1]} and {theirs[1]} at {ours[0]}"


def difference_of_histograms(ours, theirs):
    if not isinstance(ours, dict) or not isinstance(theirs, dict):
        return f"{ours} and {theirs}"
    numbers = [[one.get("count"), one.get("sum")] +
               [number for bucket in one.get("buckets", []) for number in bucket]
               for one in (ours, theirs)]
    if len(numbers[0]) != len(numbers[1]) or \
            any(not same_number(*pair) for pair in zip(*numbers)):
        return f"{ours} and {theirs}"
    return None


def points_of(series):
    points = []
    for key in ("value", "histogram"):
        if key in series:
            points.append((key, series[key]))
    for key in ("values", "histograms"):
        points.extend((key, point) for point in series.get(key, []))
    return points


def difference_of_series(ours, theirs):
    ours, theirs = points_of(ours), points_of(theirs)
    if len(ours) != len(theirs):
        return f"{len(ours)} and {len(theirs)} points"
    for (our_kind, our_point), (their_kind, their_point) in zip(ours, theirs):
        difference = our_kind != their_kind and f"{our_kind} and {their_kind}" or \
            difference_of_points(our_point, their_point)
        if difference:
            return difference
    return None


def labels_of(series):
    return tuple(sorted(series["metric"].items()))


def difference_of_results(ours, theirs, ordered):
    """None, or what differs; `ordered` when the order of series is defined."""
    if ours["resultType"] != theirs["resultType"]:
        return f"{ours['resultType']} and {theirs['resultType']}"
    if ours["resultType"] in ("scalar", "string"):
        return difference_of_points(ours["result"], theirs["result"])
    ours, theirs = ours["result"], theirs["result"]
    if not ordered:
        ours, theirs = sorted(ours, key=labels_of), sorted(theirs, key=labels_of)
    if [labels_of(one) for one in ours] != [labels_of(one) for one in theirs]:
        return f"series {[one['metric'] for one in ours]} and {[one['metric'] for one in theirs]}"
    for our_series, their_series in zip(ours, theirs):
        difference = difference_of_series(our_series, their_series)
        if difference:
            return f"{our_series['metric']}: {difference}"
    return None


# --- Errors ----------------------------------------------------------------------------------------

def normal_error(text):
    """An error without what differs by version or has no defined order."""
    text = text.removeprefix('invalid parameter "query": ') # 2.42 has it for instant queries only
    text = text.replace('"<Item 57385>" <op:@>', "<op:@>") # a token that 2.42 cannot name
    text = text.replace("unknown position: parse error", "1:1: parse error") # of nothing, in 3.x
    text = text.replace("Invalid time value", "invalid time value")
    # Which two of many, of which group, depends on the order in a hash table unless they are selected
    # as they are.
    return re.sub(r"found duplicate series for the match group .* on the (left|right) hand-side of "
                  r"the operation: .*;many", r"found duplicate series on the \1;many", text)


def is_stricter_on_purpose(expression, error):
    """Prometheus 3 refuses collisions even where a comparison drops what collides."""
    return error.startswith("multiple matches for labels") and \
        re.search(r" ([=!<>]=|[<>]) (?!bool)", expression) is not None


def difference_of_answers(expression, ours, theirs, ordered):
    """None, or what differs between two answers (harness.Answer) of query or query_range."""
    our_body, their_body = ours.json(), theirs.json()
    if ours.status == 422 and theirs.status == 200 and \
            is_stricter_on_purpose(expression, our_body["error"]):
        return None
    if ours.status != theirs.status:
        return f"status {ours.status} ({our_body.get('error')}) and {theirs.status} " \
               f"({their_body.get('error')})"
    if ours.status == 200:
        return difference_of_results(our_body["data"], their_body["data"], ordered)
    if (normal_error(our_body["error"]), our_body["errorType"]) == \
            (normal_error(their_body["error"]), their_body["errorType"]):
        return None
    if is_stricter_on_purpose(expression, our_body["error"]): # at a step before
        return None
    return f"errors {our_body} and {their_body}"


# Prometheus makes hints of resets out of its chunks; here they are those that were sent.
FROM_CHUNKS = "conflicting counter resets"


def difference_of_annotations(ours, theirs):
    """None, or what differs between the warnings and infos of two answers."""
    for kind in ("warnings", "infos"):
        our_texts, their_texts = (
            sorted(text for text in one.json().get(kind, []) if FROM_CHUNKS not in text)
            for one in (ours, theirs))
        if our_texts != their_texts:
            return f"{kind} {our_texts} and {their_texts}"
    return None
