"""Breaks random expressions, token by token, to compare what is said about them."""
import random
import re

import compare
import expressions

TOKEN = re.compile(r'\s+|[A-Za-z_:][A-Za-z0-9_:]*|[0-9][0-9a-z.]*|"(?:[^"\\]|\\.)*"|==|!=|=~|!~|<=|>=|.',
                   re.S)
STRAY = ("(", ")", "{", "}", "[", "]", ",", "+", "-", "*", "/", "^", "%", "==", "!=", "=", "=~", "<",
         ">", '"', "and", "or", "by", "on", "group_left", "offset", "@", "1", "up", "sum", "rate",
         "bool", "start", "end", "Inf", " ", ":", '"x"', "'x\"", "#", "without", "ignoring", "unless",
         "atan2", "0x1f", "1e3", "job", "topk", "{}", "[5m]", "[5m:]", "()", "\\", "~", "!", "$", ".",
         ";", "NaN", "0", "count_values")

# Where the grammar of 2.42 ends: durations that are numbers or expressions, quoted names, operators
# and functions that came later; and what it says inside brackets.
NEWER = re.compile(
    r"duration|subquery or range|in offset|unexpected number .* in offset|unexpected string .* in "
    r"(label matching|grouping opts)|unexpected metric identifier .* in grouping opts|"
    r"operator \"(</|>/)\"|is not enabled|error parsing number|bad number or|invalid label name|"
    r"label name in label_|unexpected colon|out of range|bool modifier can only|metric name must not be set twice|\"(start|end)\"|unexpected number of samples")
# What is read otherwise by newer versions: two more functions and operators, durations that are
# numbers. And where 2.42 answers otherwise: histograms, deviations of what is not finite, names after
# atan2, years that no integer holds. A selector without a name finds histograms, too.
READ_OTHERWISE = re.compile(
    r"(start|end) *\(|(?<![\[:])(?<!offset )(?<!offset -)\b\d[0-9.]*(ms|[smhdwy])|native|stdvar|stddev|"
    r"atan2|</|>/|year|(^|[^a-z_0-9])\{")


def mutated(random_, text):
    tokens = TOKEN.findall(text)
    for _ in range(random_.choice((1, 1, 1, 2, 3))):
        place, kind = random_.randrange(len(tokens) + 1), random_.randrange(5)
        if kind == 0 and tokens:
            del tokens[min(place, len(tokens) - 1)]
        elif kind == 1:
            tokens.insert(place, random_.choice(STRAY))
        elif kind == 2 and tokens:
            tokens[min(place, len(tokens) - 1)] = random_.choice(STRAY)
        elif kind == 3 and len(tokens) > 1:
            one, other = random_.randrange(len(tokens)), min(place, len(tokens) - 1)
            tokens[one], tokens[other] = tokens[other], tokens[one]
        elif tokens:
            tokens = tokens[:max(1, place)]
    return "".join(tokens)


def expressions_of(seed, count):
    generator, random_ = expressions.Generator(seed), random.Random(seed)
    for _ in range(count):
        yield mutated(random_, generator.expression()[0])


def difference(query, ours, theirs):
    """None, or what differs but for what is newer than 2.42."""
    if READ_OTHERWISE.search(query):
        return None
    our_body, their_body = ours.json(), theirs.json()
    errors = [compare.normal_error(one.get("error", "")) for one in (our_body, their_body)]
    if ours.status == theirs.status == 200:
        if "'native'" in str(their_body["data"]):
            return None
        return compare.difference_of_results(our_body["data"], their_body["data"], ordered=False)
    if (ours.status, errors[0]) == (theirs.status, errors[1]) or \
            any(NEWER.search(one) for one in errors):
        return None
    return compare.difference_of_answers(query, ours, theirs, ordered=False)
