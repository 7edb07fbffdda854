//! What was done to the daemon and what it did.

use std::fmt;
use std::time::Duration;

/// Rows of "injection, what the daemon did, time to recover".
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<[String; 4]>,
}

impl Table {
    /// One more row: seconds until the trouble was told, and until frames came again after it was over.
    pub fn add(&mut self, injection: &str, did: &str, told: Option<Duration>, recovered: Option<Duration>) {
        let seconds =
            |time: Option<Duration>| time.map_or("–".into(), |time| format!("{:.1} s", time.as_secs_f64()));
        let row = [injection.to_owned(), did.to_owned(), seconds(told), seconds(recovered)];
        println!("ok    {}", row.join("  |  "));
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| injection | what the daemon did | told after | recovered after |\n| --- | --- | --- | --- |"
        )?;
        self.rows.iter().try_for_each(|row| writeln!(f, "| {} |", row.join(" | ")))
    }
}
