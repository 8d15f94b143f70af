from panmodel.model.keras.names import listing, names_of, relative
from panmodel.model.keras.structure import GroupRecord, LayerGroups, Layout


def layers(base="", **weights):
    groups = {base: GroupRecord(layers=list(weights))}
    for layer, names in weights.items():
        groups[relative(base, layer)] = GroupRecord(weights=[(name, "") for name in names])
    return LayerGroups(Layout.LAYERS, base, groups)


def test_paths_of_listed_names():
    assert relative("a/b", "c//./d") == "a/b/c/d"
    assert relative("", "x") == "x"


def test_layers_come_in_their_order_and_other_groups_after_them():
    structure = layers("model_weights", z=["k"], a=["k"])
    structure.groups["optimizer_weights"] = GroupRecord(weights=[("iter", "")])
    structure.groups["model_weights/top_level_model_weights"] = GroupRecord(weights=[("t", "")])
    assert list(listing(structure)) == [
        ("model_weights/z", "k"),
        ("model_weights/a", "k"),
        ("model_weights/top_level_model_weights", "t"),
        ("optimizer_weights", "iter"),
    ]


def test_a_name_that_is_listed_once_is_taken_as_it_is():
    structure = layers("model_weights", d1=["d1_1/kernel:0", "d1_1/bias:0"])
    paths = ["model_weights/d1/d1_1/bias:0", "model_weights/d1/d1_1/kernel:0"]
    assert names_of(structure, paths) == {paths[1]: "d1_1/kernel:0", paths[0]: "d1_1/bias:0"}


def test_names_are_unique_however_they_are_listed():
    structure = layers(a=["k", "b/k"], b=["k"], c=["a/k"])
    paths = ["a/k", "a/b/k", "b/k", "c/a/k", "x"]
    names = names_of(structure, paths)
    assert sorted(names) == sorted(paths)
    assert names["x"] == "x"
    assert len(set(names.values())) == 5
    assert names["a/k"] == "/a/k"  # "k" is listed twice, and "a/k" is the name of another


def test_the_optimizer_s_variables_go_by_their_paths():
    structure = layers("model_weights", a=["iter"])
    structure.groups["optimizer_weights"] = GroupRecord(weights=[("iter", "")])
    paths = ["model_weights/a/iter", "optimizer_weights/iter"]
    assert list(names_of(structure, paths).values()) == ["iter", "optimizer_weights/iter"]


def test_names_of_layers_replace_numbers_where_that_is_unique():
    def named(name):
        return GroupRecord({"name": name})

    groups = {"layers/dense/vars": named("one"), "layers/dense/layers/dense/vars": named("inner"), "vars": named("net")}
    structure = LayerGroups(Layout.VARIABLES, "", groups)
    paths = ["layers/dense/vars/0", "layers/dense/layers/dense/vars/0", "layers/lstm/cell/vars/0", "optimizer/vars/0"]
    assert list(names_of(structure, paths).values()) == [
        "layers/one/vars/0",
        "layers/one/layers/inner/vars/0",
        "layers/lstm/cell/vars/0",
        "optimizer/vars/0",
    ]
    groups["layers/dense_1/vars"] = named("one")
    paths = ["layers/dense/vars/0", "layers/dense_1/vars/0"]
    assert list(names_of(structure, paths).values()) == paths


def test_other_files_have_paths():
    assert names_of(LayerGroups(Layout.PATHS), ["b", "a"]) == {"b": "b", "a": "a"}
