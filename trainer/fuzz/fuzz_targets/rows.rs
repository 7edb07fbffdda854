//! Rows of any bytes in both dialects.
#![no_main]

use fieldmark_tables::rows::{Dialect, Rows};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    for dialect in [Dialect::TAB, Dialect::CSV] {
        if let Ok(rows) = Rows::with_header("fuzzed", text, dialect) {
            let _ = rows.each(2, || Ok(()), |(), row| {
                if let Ok(row) = row {
                    (0..row.cells() + 1).for_each(|cell| drop(row.cell(cell).to_owned()));
                }
                Ok(())
            });
        }
    }
});
