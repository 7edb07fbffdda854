use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

/// Rows as cells, faults as reasons, by line.
fn read(text: &[u8], dialect: Dialect, threads: usize) -> Vec<(u64, Result<Vec<String>, Reason>)> {
    let rows = Rows::without_header("t", text, dialect, None);
    let all = Mutex::new(Vec::new());
    rows.each(
        threads,
        || Ok(()),
        |(), row| {
            let row = match row {
                Ok(row) => (row.line, Ok((0..row.cells()).map(|cell| row.cell(cell).to_owned()).collect())),
                Err(fault) => (fault.line, Err(fault.reason)),
            };
            all.lock().expect("no panic").push(row);
            Ok(())
        },
    )
    .expect("rows");
    let mut all = all.into_inner().expect("no panic");
    all.sort();
    all
}

fn cells(cells: &[&str]) -> Result<Vec<String>, Reason> {
    Ok(cells.iter().map(|&cell| cell.to_owned()).collect())
}

#[test]
fn quotes_are_ordinary_where_nothing_is_quoted() {
    let text = b"1\tthe \"big\" one\r\n\n2\t\"open\n3\tx\ty";
    let expected =
        [(1, cells(&["1", "the \"big\" one"])), (3, cells(&["2", "\"open"])), (4, cells(&["3", "x", "y"]))];
    assert_eq!(read(text, Dialect::TAB, 2), expected);
}

#[test]
fn a_quoted_row_may_have_several_lines() {
    let text = b"a,\"b \"\"c\"\"\n, d\",e\n\nf,g,h\n";
    let expected = [(1, cells(&["a", "b \"c\"\n, d", "e"])), (4, cells(&["f", "g", "h"]))];
    assert_eq!(read(text, Dialect::CSV, 1), expected);
}

#[test]
fn hostile_rows_are_told_with_their_lines_and_the_rest_is_read() {
    for dialect in [Dialect::TAB, Dialect::CSV] {
        let separator = char::from(dialect.delimiter);
        let mut text = format!("a{separator}b\nnul\0{separator}b\n").into_bytes();
        text.extend_from_slice(b"\xff\xfe\n");
        text.extend(std::iter::repeat_n(b'x', 100 << 20));
        text.extend_from_slice(format!("\nlast{separator}b\n").as_bytes());
        let expected = [
            (1, cells(&["a", "b"])),
            (2, Err(Reason::ControlCharacter)),
            (3, Err(Reason::NotUtf8)),
            (4, Err(Reason::LineTooLong)),
            (5, cells(&["last", "b"])),
        ];
        assert_eq!(read(&text, dialect, 2), expected, "{dialect:?}");
    }
}

#[test]
fn a_quote_that_is_never_closed_costs_its_own_line() {
    // More rows than a row may be long, and fewer: the first is left when it is too long, the second at the end.
    for rows in [600_000, 3] {
        let mut text = b"a,b\nc,\"d\n".to_vec();
        text.extend(b"e,f\n".repeat(rows));
        let read = read(&text, Dialect::CSV, 1);
        assert_eq!(read.len(), rows + 2);
        assert_eq!(read[..2], [(1, cells(&["a", "b"])), (2, Err(Reason::UnclosedQuote))]);
        assert!((3..).zip(&read[2..]).all(|(line, row)| *row == (line, cells(&["e", "f"]))));
    }
}

#[test]
fn a_quote_that_is_closed_at_the_end_of_the_file_is_closed() {
    let expected = [(1, cells(&["a", "b\nc"])), (3, cells(&["d", "e\"f"]))];
    assert_eq!(read(b"a,\"b\nc\"\nd,e\"f", Dialect::CSV, 1), expected);
    assert_eq!(read(b"a,\"b\nc\"", Dialect::CSV, 1), expected[..1]);
}

#[test]
fn a_row_of_another_width_is_a_fault_and_shifts_nothing() {
    let rows = Rows::with_header("t", &b"\xef\xbb\xbfdwc:a\tb\n1\t2\n1\t\t2\n1\n"[..], Dialect::TAB)
        .expect("a header");
    assert_eq!((rows.column("A"), rows.column("b"), rows.column("c")), (Some(0), Some(1), None));
    assert!(rows.needed("c").expect_err("a refusal").to_string().contains("\"c\" among dwc:a, b"));
    let faults = Mutex::new(Vec::new());
    rows.each(
        1,
        || Ok(()),
        |(), row| {
            if let Err(fault) = row {
                faults.lock().expect("no panic").push((fault.line, fault.cells));
            }
            Ok(())
        },
    )
    .expect("rows");
    assert_eq!(faults.into_inner().expect("no panic"), [(3, 3), (4, 1)]);
}

#[test]
fn an_empty_file_and_a_failing_one_name_the_file() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            if self.0 > 200 {
                return Err(io::Error::other("the disk is gone"));
            }
            buffer.fill(b'\n');
            Ok(buffer.len())
        }
    }
    let empty =
        Rows::with_header("occurrence.txt", &b""[..], Dialect::TAB).map(|_| ()).expect_err("a refusal");
    assert!(empty.to_string().starts_with("cannot read occurrence.txt at line 1"), "{empty}");
    let rows = Rows::without_header("media.csv", Broken(0), Dialect::TAB, None);
    let error = rows.each(2, || Ok(()), |(), _| Ok(())).expect_err("a failure").to_string();
    assert!(error.contains("media.csv") && error.contains("the disk is gone"), "{error}");
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_faults(text in prop::collection::vec(any::<u8>(), 0..400)) {
        let lines = text.split(|&byte| byte == b'\n').filter(|line| !matches!(**line, [] | [b'\r'])).count();
        prop_assert_eq!(read(&text, Dialect::TAB, 1).len(), lines);
        read(&text, Dialect::CSV, 1);
    }

    #[test]
    fn quoted_rows_are_read_as_the_csv_crate_writes_them(rows in prop::collection::vec(
        prop::collection::vec("[a-c\", \n\r]{0,4}[a-c]", 2..5), 0..20)) {
        let mut text = Vec::new();
        for row in &rows {
            let row: Vec<String> = row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            text.extend_from_slice(row.join(",").as_bytes());
            text.push(b'\n');
        }
        let read: Vec<_> = read(&text, Dialect::CSV, 2).into_iter().map(|(_, row)| row.expect("cells")).collect();
        let expected: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| cell.trim().to_owned()).collect()).collect();
        prop_assert_eq!(read, expected);
    }
}
