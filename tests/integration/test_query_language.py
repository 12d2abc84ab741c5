"""format_query and parse_query: a query as text on lines and as a tree."""
import harness


def selector(name, *matchers, **changes):
    return {"type": "vectorSelector", "name": name, "offset": 0, "offsetExpr": None,
            "matchers": [{"name": label, "value": value, "type": operator}
                         for label, operator, value in matchers] +
                        ([{"name": "__name__", "value": name, "type": "="}] if name else []),
            "timestamp": None, "startOrEnd": None, "anchored": False, "smoothed": False, **changes}


def number(value):
    return {"type": "numberLiteral", "val": value}


class QueryLanguage(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.node = self.start_node("--telemetry.self_write=false", "--query.experimental=true")

    def tearDown(self):
        self.node.terminate()

    def tree(self, query):
        answer = self.node.get("/api/v1/parse_query", query=query)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()["data"]

    def test_a_long_query_is_laid_out_on_lines(self):
        answer = self.node.get("/api/v1/format_query", query="a+b")
        self.assertEqual(answer.json(), {"status": "success", "data": "a + b"})
        long_name = "x" * 60
        answer = self.node.request("POST", "/api/v1/format_query",
                                   f"query=sum({long_name}%2B{long_name})".encode(),
                                   {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual(answer.json()["data"],
                         f"sum(\n    {long_name}\n  +\n    {long_name}\n)")

    def test_a_tree_has_what_the_query_says(self):
        self.assertEqual(self.tree('up{b!="1",a=~"x.*"} offset 5m'),
                         selector("up", ("b", "!=", "1"), ("a", "=~", "x.*"), offset=300000))
        self.assertEqual(self.tree('{"a b"} @ 1.5'),
                         selector("", ("__name__", "=", "a b"), timestamp=1500))
        self.assertEqual(self.tree("rate(up[1m] smoothed @ end())"), {
            "type": "call",
            "func": {"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"},
            "args": [selector("up", type="matrixSelector", range=60000, rangeExpr=None,
                              smoothed=True, startOrEnd="end")]})
        self.assertEqual(self.tree("-(1e21)")["expr"],
                         {"type": "parenExpr", "expr": number("1000000000000000000000")})
        self.assertEqual(self.tree("topk by (a) (3, up)"),
                         {"type": "aggregation", "op": "topk", "expr": selector("up"),
                          "param": number("3"), "grouping": ["a"], "without": False})

    def test_operators_show_how_series_meet(self):
        tree = self.tree("a == bool on (x) group_left (y) fill_right (2.5) b")
        self.assertEqual(tree, {
            "type": "binaryExpr", "op": "==", "lhs": selector("a"), "rhs": selector("b"),
            "bool": True,
            "matching": {"card": "many-to-one", "labels": ["x"], "on": True, "include": ["y"],
                         "fillValues": {"lhs": None, "rhs": 2.5}}})
        self.assertIsNone(self.tree("1 + a")["matching"])

    def test_durations_that_are_computed_are_trees(self):
        tree = self.tree("max_over_time(up[1h:step()] offset -(5m+3))")["args"][0]
        self.assertEqual((tree["type"], tree["range"], tree["step"], tree["offset"]),
                         ("subquery", 3600000, 0, 0))
        self.assertEqual(tree["stepExpr"], {"type": "durationExpr", "op": "step", "lhs": None,
                                            "rhs": None, "wrapped": False})
        self.assertEqual(tree["offsetExpr"], {
            "type": "durationExpr", "op": "-", "lhs": None, "wrapped": False,
            "rhs": {"type": "durationExpr", "op": "+", "wrapped": True,
                    "lhs": {"type": "numberLiteral", "val": "300", "duration": True},
                    "rhs": {"type": "numberLiteral", "val": "3", "duration": False}}})

    def test_what_is_wrong_is_told_with_its_place(self):
        for path in ("format_query", "parse_query"):
            for query, reason in (("a +", "1:4: parse error: unexpected end of input"),
                                  ("", "unknown position: parse error: no expression found in input")):
                answer = self.node.get("/api/v1/" + path, query=query)
                self.assertEqual((answer.status, answer.json()["errorType"]), (400, "bad_data"))
                self.assertEqual(answer.json()["error"], f'invalid parameter "query": {reason}')

    def test_a_tree_that_would_be_huge_is_refused(self):
        query = "a"
        for _ in range(16):
            query = f"({query}-{query})"
        answer = self.node.request("POST", "/api/v1/parse_query", b"query=" + query.encode(),
                                   {"Content-Type": "application/x-www-form-urlencoded"})
        self.assertEqual((answer.status, answer.json()["errorType"]), (422, "execution"))


if __name__ == "__main__":
    harness.main()
