//! The part of ONNX's protobuf format that a fieldmark model uses: written by the trainer, and checked by
//! whoever opens a package. Field numbers are those of the standard's `onnx.proto3`.

mod tensor;
mod unsigned;
pub mod wiring;

pub use unsigned::with_unsigned_activations;

/// Data type numbers of [`Tensor::data_type`] and [`TensorType::elem_type`].
pub mod data_type {
    /// 32-bit IEEE float.
    pub const FLOAT: i32 = 1;
    /// Unsigned byte.
    pub const UINT8: i32 = 2;
    /// Signed byte.
    pub const INT8: i32 = 3;
    /// 32-bit signed integer.
    pub const INT32: i32 = 6;
    /// 64-bit signed integer.
    pub const INT64: i32 = 7;
    /// 16-bit IEEE float.
    pub const FLOAT16: i32 = 10;
}

/// Type numbers of [`Attribute::kind`].
pub mod attribute_kind {
    /// Uses [`super::Attribute::float`].
    pub const FLOAT: i32 = 1;
    /// Uses [`super::Attribute::int`].
    pub const INT: i32 = 2;
    /// Uses [`super::Attribute::bytes`].
    pub const STRING: i32 = 3;
    /// Uses [`super::Attribute::tensor`].
    pub const TENSOR: i32 = 4;
    /// Uses [`super::Attribute::floats`].
    pub const FLOATS: i32 = 6;
    /// Uses [`super::Attribute::ints`].
    pub const INTS: i32 = 7;
}

/// `ModelProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Model {
    /// Version of the file format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// Program that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// Its version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// The computation.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Operator sets in use.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSet {
    /// Empty for the standard operators.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Version of the set.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Graph {
    /// Operations in topological order.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constants.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// Inputs.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
    /// Types of values in between, where the writer gave them.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfo>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Node {
    /// Names of the values read.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the values made.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Settings of the operator.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Attribute {
    /// Name of the setting.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, tag = "2")]
    pub float: f32,
    /// A whole number.
    #[prost(int64, tag = "3")]
    pub int: i64,
    /// A text.
    #[prost(bytes = "vec", tag = "4")]
    pub bytes: Vec<u8>,
    /// A constant.
    #[prost(message, optional, tag = "5")]
    pub tensor: Option<Tensor>,
    /// Numbers.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Whole numbers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Which of the fields is meant: see [`attribute_kind`].
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

/// `TensorProto`. What fieldmark writes has its data as little-endian bytes; others use the typed fields too.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Tensor {
    /// Shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// See [`data_type`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Elements of a float tensor, where they are not bytes.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of tensors of integers up to 32 bits and of 16-bit floats, where they are not bytes.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of a 64-bit integer tensor, where they are not bytes.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name that nodes refer to.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Elements in row-major order, little-endian.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// 1 where the elements are in another file.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfo {
    /// Name of the value.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type and shape.
    #[prost(message, optional, tag = "2")]
    pub value_type: Option<ValueType>,
}

/// `TypeProto`, of which only tensors are used.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueType {
    /// A dense tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorType {
    /// See [`data_type`].
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Sides; absent when unknown.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Shape {
    /// One entry a side.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dimension {
    /// Fixed, named, or neither.
    #[prost(oneof = "Side", tags = "1, 2")]
    pub side: Option<Side>,
}

/// Length of one side of a tensor.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Side {
    /// Known length.
    #[prost(int64, tag = "1")]
    Fixed(i64),
    /// Known when the graph runs.
    #[prost(string, tag = "2")]
    Named(String),
}

impl ValueInfo {
    /// A tensor `name` of element type `elem_type` (see [`data_type`]); sides that are `None` are the batch, `N`.
    #[must_use]
    pub fn tensor(name: &str, elem_type: i32, sides: &[Option<i64>]) -> Self {
        let side = |side: &Option<i64>| Dimension {
            side: Some(side.map_or_else(|| Side::Named("N".into()), Side::Fixed)),
        };
        let shape = Some(Shape { dim: sides.iter().map(side).collect() });
        Self {
            name: name.into(),
            value_type: Some(ValueType { tensor: Some(TensorType { elem_type, shape }) }),
        }
    }
}

/// Inputs and outputs of a graph, read without its weights.
pub mod interface {
    /// `ModelProto` less everything that does not say what goes in and out.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Model {
        /// The graph.
        #[prost(message, optional, tag = "7")]
        pub graph: Option<Graph>,
    }

    /// `GraphProto` less nodes and constants.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Graph {
        /// Inputs.
        #[prost(message, repeated, tag = "11")]
        pub input: Vec<super::ValueInfo>,
        /// Outputs.
        #[prost(message, repeated, tag = "12")]
        pub output: Vec<super::ValueInfo>,
    }
}
