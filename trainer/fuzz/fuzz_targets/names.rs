//! Scientific names of any text: cells are the lines.
#![no_main]

use fieldmark_trainer_fuzz::prepare::{Gathered, Names, OddTaxonomy, RawName, mend};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let mut names = Names::default();
    while let Some(name) = lines.next() {
        let ranks = std::array::from_fn(|_| lines.next().unwrap_or_default().into());
        names.number(&[name], || RawName { ranks, name: name.into(), ..RawName::default() });
    }
    let mut gathered = Gathered::default();
    gathered.take(names);
    let _ = mend(&gathered, OddTaxonomy::Mend);
});
