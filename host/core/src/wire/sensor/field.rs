//! .
use crate::model::FieldKinds;
use minidom::Element;
/// Kinds of an element.
pub(crate) fn kinds_of(_element: &Element, _long: bool) -> FieldKinds {
    FieldKinds::empty()
}
