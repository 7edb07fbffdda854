//! Padding as a node of its own. An int8 convolution pads with the byte 0, so what it reads cannot be centred (see
//! [`centred`](super::centre::centred)) as long as the convolution pads itself. A Pad before it fills in the byte that stands for
//! 0 instead, and the values inside have all 256. It costs one copy of the maps on the device, which is about what a layer in
//! float costs and leaves the layer in int8.

use fieldmark_models::onnx::{Attribute, Graph, Node, Tensor};

/// Top, left, bottom and right padding that `node` names; none where it pads by rules of its own, or not at all.
pub(super) fn named(node: &Node) -> Option<[i64; 4]> {
    let pads: [i64; 4] = node.attribute("pads")?.ints.as_slice().try_into().ok()?;
    let padded = pads.iter().all(|&pad| pad >= 0) && pads.iter().any(|&pad| pad > 0);
    (padded && !by_rule(node)).then_some(pads)
}

/// Whether `node` pads in any way.
pub(super) fn pads(node: &Node) -> bool {
    let asked = node.attribute("pads").is_some_and(|pads| pads.ints.iter().any(|&pad| pad != 0));
    asked || by_rule(node)
}

fn by_rule(node: &Node) -> bool {
    let automatic = node.attribute("auto_pad").map(|attribute| &attribute.bytes[..]);
    !matches!(automatic, None | Some(b"" | b"NOTSET" | b"VALID"))
}

/// Takes the padding off `node` and gives the Pad that fills in `filling` instead, after `value`, which `node` reads. The Pad's
/// output is `name`; its constants go into `out`.
pub(super) fn apart(
    out: &mut Graph,
    node: &mut Node,
    (value, filling): (&str, f32),
    name: &str,
) -> Option<Node> {
    let [top, left, bottom, right] = named(node)?;
    let (sides, number) = (format!("{name}.sides"), format!("{name}.filling"));
    // Begins of all four axes, then their ends.
    out.initializer.push(Tensor::of_integers(&sides, &[8], &[0, 0, top, left, 0, 0, bottom, right]));
    out.initializer.push(Tensor::of_floats(&number, &[], &[filling]));
    node.attribute.retain(|attribute| attribute.name != "pads");
    node.attribute.push(Attribute::of_ints("pads", &[0; 4]));
    Some(Node {
        input: vec![value.into(), sides, number],
        output: vec![name.into()],
        name: name.into(),
        op_type: "Pad".into(),
        ..Node::default()
    })
}
