import pytest
from sqlmodel import SQLModel

from orders_api import models
from orders_api.shapes import table_of


def test_each_out_class_leads_to_its_table() -> None:
    found = {
        shape: table_of(shape)
        for shape in (models.StoreOut, models.ProductDetail, models.OrderOut, models.OrderItemOut)
    }
    assert list(found.values()) == [models.Store, models.Product, models.Order, models.OrderItem]


@pytest.mark.parametrize(
    "shape", [models.ProductIn, models.StoreUpdate, models.OrderIn, models.In, models.Out]
)
def test_class_that_shows_no_table_leads_to_none(shape: type[SQLModel]) -> None:
    with pytest.raises(TypeError, match=shape.__name__):
        table_of(shape)
