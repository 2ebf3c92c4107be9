import store
from store import Basket, BasketKind, Buyer

assert store.__all__ == ["Basket", "BasketKind", "Buyer"]
kind: BasketKind = "later"
assert Basket(buyer="b", kind=kind) == "store:basket:buyer:b:kind:later"
assert Buyer("b").name == "buyer"
