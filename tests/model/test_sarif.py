from panmodel.model.finding import Finding, Level, Rule, Scan, ScannedFile

RULE = Rule("PM-X", Level.DANGEROUS, "What.", "Do.")
OTHER = Rule("PM-Y", Level.UNDECIDED, "Else.", "Do.")


def test_the_log_has_what_the_schema_requires():
    files = [ScannedFile("/a b/é.pt", ("pickle",), [Finding(RULE, "m", "", 5), Finding(OTHER, "n", "inner", 5)])]
    log = Scan(files, [RULE, OTHER]).to_sarif()
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["PM-X", "PM-Y"]
    first, second = run["results"]
    assert (first["ruleId"], first["ruleIndex"], first["level"], first["message"]) == (
        "PM-X",
        0,
        "error",
        {"text": "m"},
    )
    assert first["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "file:///a%20b/%C3%A9.pt"},
                "region": {"byteOffset": 5, "byteLength": 0},
            }
        }
    ]
    assert second["level"] == "warning"
    assert second["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "inner", "kind": "member"}]


def test_relative_paths_stay_relative():
    log = Scan([ScannedFile("models/a.pt")], [RULE]).to_sarif()
    assert log["runs"][0]["artifacts"] == [{"location": {"uri": "models/a.pt"}}]
    assert log["runs"][0]["results"] == []
