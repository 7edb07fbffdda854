//! Constants and settings: their values, whichever field they stand in.

use super::{Attribute, Node, Tensor, attribute_kind, data_type};

impl Tensor {
    /// A float constant of shape `dims`, row-major.
    #[must_use]
    pub fn of_floats(name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self {
            dims: dims.to_vec(),
            data_type: data_type::FLOAT,
            name: name.into(),
            raw_data,
            ..Self::default()
        }
    }

    /// A signed-byte constant of shape `dims`, row-major.
    #[must_use]
    pub fn of_bytes(name: &str, dims: &[i64], values: &[i8]) -> Self {
        let raw_data = values.iter().map(|&value| value.cast_unsigned()).collect();
        Self {
            dims: dims.to_vec(),
            data_type: data_type::INT8,
            name: name.into(),
            raw_data,
            ..Self::default()
        }
    }

    /// A constant of whole numbers of 64 bits, of shape `dims`, row-major.
    #[must_use]
    pub fn of_integers(name: &str, dims: &[i64], values: &[i64]) -> Self {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self {
            dims: dims.to_vec(),
            data_type: data_type::INT64,
            name: name.into(),
            raw_data,
            ..Self::default()
        }
    }

    /// Number of elements its shape speaks of; `None` if a side is negative or the product too large.
    #[must_use]
    pub fn count(&self) -> Option<usize> {
        self.dims.iter().try_fold(1usize, |product, &side| product.checked_mul(usize::try_from(side).ok()?))
    }

    /// Elements of a 32-bit float constant; `None` if it is of another type, damaged, or in another file.
    #[must_use]
    pub fn floats(&self) -> Option<Vec<f32>> {
        if self.data_type != data_type::FLOAT || self.data_location != 0 {
            return None;
        }
        let values = if self.raw_data.is_empty() {
            self.float_data.clone()
        } else {
            self.raw_data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
        };
        (self.count() == Some(values.len())).then_some(values)
    }

    /// Elements of a constant of whole numbers of 8, 32 or 64 bits; `None` if it is of another type, damaged, or
    /// in another file.
    #[must_use]
    pub fn integers(&self) -> Option<Vec<i64>> {
        if self.data_location != 0 {
            return None;
        }
        let raw = &self.raw_data;
        let small = || self.int32_data.iter().map(|&value| value.into()).collect::<Vec<i64>>();
        let values: Vec<i64> = match self.data_type {
            data_type::INT8 | data_type::UINT8 | data_type::INT32 if raw.is_empty() => small(),
            data_type::INT64 if raw.is_empty() => self.int64_data.clone(),
            data_type::INT8 => raw.iter().map(|&byte| byte.cast_signed().into()).collect(),
            data_type::UINT8 => raw.iter().map(|&byte| byte.into()).collect(),
            data_type::INT32 => {
                raw.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes).into()).collect()
            }
            data_type::INT64 => raw.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
            _ => return None,
        };
        (self.count() == Some(values.len())).then_some(values)
    }
}

impl Attribute {
    /// The whole number `name`.
    #[must_use]
    pub fn of_int(name: &str, int: i64) -> Self {
        Self { name: name.into(), int, kind: attribute_kind::INT, ..Self::default() }
    }

    /// The whole numbers `name`.
    #[must_use]
    pub fn of_ints(name: &str, ints: &[i64]) -> Self {
        Self { name: name.into(), ints: ints.into(), kind: attribute_kind::INTS, ..Self::default() }
    }
}

impl Node {
    /// Attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attribute.iter().find(|attribute| attribute.name == name)
    }

    /// Whole-number attribute `name`, or `default` where the node has none.
    #[must_use]
    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.int)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_from_whichever_field_they_stand_in() {
        let raw = Tensor::of_floats("x", &[2], &[1.5, -2.0]);
        let typed = Tensor { raw_data: vec![], float_data: vec![1.5, -2.0], ..raw.clone() };
        assert_eq!(raw.floats(), Some(vec![1.5, -2.0]));
        assert_eq!(raw.floats(), typed.floats());
        let bytes = Tensor::of_bytes("q", &[3], &[-128, 0, 127]);
        let typed = Tensor { raw_data: vec![], int32_data: vec![-128, 0, 127], ..bytes.clone() };
        assert_eq!(bytes.integers(), Some(vec![-128, 0, 127]));
        assert_eq!(bytes.integers(), typed.integers());
    }

    #[test]
    fn constants_that_are_not_what_their_shape_says_have_no_elements() {
        let short = Tensor { dims: vec![3], ..Tensor::of_floats("x", &[2], &[1.0, 2.0]) };
        assert_eq!(short.floats(), None);
        let negative = Tensor { dims: vec![-1, -2], ..short.clone() };
        assert_eq!(negative.floats(), None);
        let huge = Tensor { dims: vec![i64::MAX, i64::MAX], ..short.clone() };
        assert_eq!(huge.floats(), None);
        let elsewhere = Tensor { data_location: 1, ..Tensor::of_floats("x", &[1], &[1.0]) };
        assert_eq!(elsewhere.floats(), None);
    }
}
