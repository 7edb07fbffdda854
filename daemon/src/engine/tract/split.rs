//! Where a graph's columns end: nodes that one input reaches belong to that input's column, nodes that several reach
//! are the tail.

use tract_onnx::prelude::*;

/// A graph in parts that can run beside each other.
pub(super) struct Parts {
    /// For each input, from it to what the tail reads of it.
    pub(super) columns: Vec<TypedModel>,
    /// From what the columns give, in their order, to the outputs.
    pub(super) tail: TypedModel,
}

/// Which inputs reach a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    ByNone,
    By(usize),
    BySeveral,
}

impl Reached {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::ByNone, reached) | (reached, Self::ByNone) => reached,
            (Self::By(one), Self::By(other)) if one == other => self,
            _ => Self::BySeveral,
        }
    }
}

/// Cuts `model` before its merge; `None` where it has one input, or its columns meet in no tail.
///
/// # Errors
/// If the graph is none.
pub(super) fn split(model: &TypedModel) -> TractResult<Option<Parts>> {
    let inputs = model.input_outlets()?.to_vec();
    if inputs.len() < 2 {
        return Ok(None);
    }
    let mut reached = reach(model, &inputs)?;
    leave_packing_to_the_tail(model, &mut reached)?;
    let in_tail = |node: usize| reached[node] == Reached::BySeveral;
    let mut ends: Vec<Vec<OutletId>> = vec![Vec::new(); inputs.len()];
    for node in model.eval_order()? {
        let Reached::By(column) = reached[node] else { continue };
        for slot in 0..model.node(node).outputs.len() {
            let outlet = OutletId::new(node, slot);
            if model.outlet_successors(outlet).iter().any(|inlet| in_tail(inlet.node)) {
                ends[column].push(outlet);
            }
        }
    }
    let all_meet = ends.iter().all(|ends| !ends.is_empty());
    let answered_by_tail = model.output_outlets()?.iter().all(|output| in_tail(output.node));
    let packed = ends.iter().flatten().map(|end| is_packed(model, *end)).collect::<TractResult<Vec<_>>>()?;
    if !(all_meet && answered_by_tail) || packed.into_iter().any(|packed| packed) {
        return Ok(None);
    }
    let columns = inputs.iter().zip(&ends).map(|(input, ends)| column(model, *input, ends));
    Ok(Some(Parts { columns: columns.collect::<TractResult<_>>()?, tail: tail(model, &ends, in_tail)? }))
}

fn reach(model: &TypedModel, inputs: &[OutletId]) -> TractResult<Vec<Reached>> {
    let mut reached = vec![Reached::ByNone; model.nodes().len()];
    for node in model.eval_order()? {
        reached[node] = match inputs.iter().position(|input| input.node == node) {
            Some(input) => Reached::By(input),
            None => {
                let before = model.node(node).inputs.iter().map(|outlet| reached[outlet.node]);
                before.fold(Reached::ByNone, Reached::and)
            }
        };
    }
    Ok(reached)
}

/// What a column hands to the tail must be numbers. A node that lays them out for the tail's matrix product is the tail's:
/// columns that are multiplied right where they meet could not be cut otherwise.
fn leave_packing_to_the_tail(model: &TypedModel, reached: &mut [Reached]) -> TractResult<()> {
    for node in model.eval_order()?.into_iter().rev() {
        let outlets = (0..model.node(node).outputs.len()).map(|slot| OutletId::new(node, slot));
        let mut readers = outlets.clone().flat_map(|outlet| model.outlet_successors(outlet));
        let for_the_tail = readers.all(|inlet| reached[inlet.node] == Reached::BySeveral);
        let packed = outlets.map(|outlet| is_packed(model, outlet)).collect::<TractResult<Vec<_>>>()?;
        let of_a_column = matches!(reached[node], Reached::By(_));
        if of_a_column && for_the_tail && packed.into_iter().any(|packed| packed) {
            reached[node] = Reached::BySeveral;
        }
    }
    Ok(())
}

/// Whether what `outlet` carries is laid out for one kernel, and is no tensor that could be handed on.
fn is_packed(model: &TypedModel, outlet: OutletId) -> TractResult<bool> {
    Ok(model.outlet_fact(outlet)?.exotic_fact.is_some())
}

fn column(model: &TypedModel, input: OutletId, ends: &[OutletId]) -> TractResult<TypedModel> {
    let mut column = model.clone();
    column.set_input_outlets(&[input])?;
    column.select_output_outlets(ends)?;
    column.into_compact()
}

fn tail(
    model: &TypedModel,
    ends: &[Vec<OutletId>],
    in_tail: impl Fn(usize) -> bool,
) -> TractResult<TypedModel> {
    let mut tail = model.clone();
    let mut sources = Vec::new();
    for (number, end) in ends.iter().flatten().enumerate() {
        let readers: Vec<_> = tail.outlet_successors(*end).to_vec();
        let fact = tail.outlet_fact(*end)?.without_value();
        let source = tail.add_source(format!("column-end-{number}"), fact)?;
        for reader in readers.into_iter().filter(|reader| in_tail(reader.node)) {
            tail.add_edge(source, reader)?;
        }
        sources.push(source);
    }
    tail.set_input_outlets(&sources)?;
    tail.into_compact()
}
