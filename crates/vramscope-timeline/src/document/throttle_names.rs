//! A set of throttle reasons as a list of names.

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserializer, Serializer};
use vramscope_core::Throttle;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(super) fn serialize<S: Serializer>(set: &Option<Throttle>, to: S) -> Result<S::Ok, S::Error> {
    let Some(set) = set else { return to.serialize_none() };
    let mut list = to.serialize_seq(None)?;
    for name in set.names() {
        list.serialize_element(name)?;
    }
    list.end()
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Throttle>, D::Error> {
    from.deserialize_option(Names)
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Option<Throttle>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of throttle reasons")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut set = Throttle::NONE;
        while let Some(name) = list.next_element::<std::borrow::Cow<'_, str>>()? {
            set = set.with(Throttle::from_name(&name).unwrap_or(Throttle::OTHER));
        }
        Ok(Some(set))
    }
}
