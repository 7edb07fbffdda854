//! A Parquet file of events: the columns people ask for, and the whole message beside them.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    TimestampMillisecondArray, UInt64Array,
};
use atomic_write_file::AtomicWriteFile;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::publish::messages::Detection;

/// Writes the events `messages` as the file `path`: whole and synced, or not at all.
pub(super) fn write(path: &Path, messages: &[String]) -> anyhow::Result<()> {
    let events: Result<Vec<Detection>, _> =
        messages.iter().map(|message| serde_json::from_str(message)).collect();
    let batch = columns(&events.context("an event in the spool cannot be read")?, messages)?;
    let properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(AtomicWriteFile::open(path)?, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.into_inner()?.commit()?;
    Ok(())
}

fn columns(events: &[Detection], messages: &[String]) -> anyhow::Result<RecordBatch> {
    let texts = |of: fn(&Detection) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(events.iter().map(of)))
    };
    let numbers = |of: fn(&Detection) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(events.iter().map(of)))
    };
    let fractions = |of: fn(&Detection) -> f64| -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(events.iter().map(of)))
    };
    let replays: BooleanArray = events.iter().map(|event| Some(event.replay)).collect();
    let common_names: StringArray = events.iter().map(|event| event.taxon.common_name.as_deref()).collect();
    let targets: Float64Array = events.iter().map(|event| event.target).collect();
    let columns: [(&str, ArrayRef, bool); 27] = [
        ("id", texts(|event| &event.id), false),
        ("boot", texts(|event| &event.boot), false),
        ("seq", numbers(|event| event.seq), false),
        ("node", texts(|event| &event.node), false),
        ("camera", texts(|event| &event.camera), false),
        ("type", texts(|event| event.kind.name()), false),
        ("time", times(events), true),
        ("time_source", texts(|event| &event.time_source), false),
        ("replay", Arc::new(replays), false),
        ("track", numbers(|event| event.track.id), false),
        ("hits", numbers(|event| event.track.hits), false),
        ("taxon_id", texts(|event| &event.taxon.id), false),
        ("taxon", texts(|event| &event.taxon.name), false),
        ("rank", texts(|event| &event.taxon.rank), false),
        ("common_name", Arc::new(common_names), true),
        ("lineage", lists(events.iter().map(|event| &event.taxon.lineage)), false),
        ("probability", fractions(|event| event.probability), false),
        ("threshold", fractions(|event| event.threshold), false),
        ("target", Arc::new(targets), true),
        ("best_leaf", texts(|event| &event.best_leaf.name), false),
        ("best_leaf_probability", fractions(|event| event.best_leaf.probability), false),
        ("watch", lists(events.iter().map(|event| &event.watch)), false),
        ("model", texts(|event| &event.model.name), false),
        ("model_version", texts(|event| &event.model.version), false),
        ("engine", texts(|event| &event.engine), false),
        ("latency_ms", fractions(|event| event.latency_ms), false),
        ("message", Arc::new(StringArray::from_iter_values(messages)), false),
    ];
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// Times of the frames; null where a text is no time.
fn times(events: &[Detection]) -> ArrayRef {
    let time =
        |event: &Detection| event.time.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
    let times: TimestampMillisecondArray = events.iter().map(time).collect();
    Arc::new(times.with_timezone("UTC"))
}

fn lists<'a>(rows: impl Iterator<Item = &'a Vec<String>>) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in rows {
        row.iter().for_each(|text| lists.values().append_value(text));
        lists.append(true);
    }
    Arc::new(lists.finish())
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::{Array as _, AsArray as _};
    use arrow::datatypes::UInt64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    /// The event `number`.
    pub(crate) fn detection(number: u64) -> Detection {
        let text = serde_json::json!({
            "v": 1, "id": format!("id-{number}"), "boot": "b", "seq": number, "type": "new", "node": "n",
            "camera": "c", "time": "2026-11-23T05:32:07.123Z", "time_source": "ntp", "replay": number % 2 == 1,
            "taxon": {"id": "t", "name": "Quercus", "rank": "genus", "depth": 6, "lineage": ["Plantae", "Quercus"]},
            "probability": 0.5, "threshold": 0.25, "stop": "threshold",
            "best_leaf": {"name": "Quercus robur", "probability": 0.125}, "track": {"id": 7, "hits": 9},
            "region": {"box": [0.0, 0.0, 1.0, 1.0], "name": "frame"},
            "model": {"name": "toy", "version": "0.1.0", "sha256": "0".repeat(64)}, "engine": "e", "latency_ms": 1.5,
        });
        serde_json::from_value(text).expect("a detection")
    }

    fn read(path: &Path) -> Vec<RecordBatch> {
        let file = std::fs::File::open(path).expect("a file");
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build);
        reader.expect("a Parquet file").map(|batch| batch.expect("rows")).collect()
    }

    /// The sequence numbers in the file at `path`.
    pub(crate) fn numbers(path: &Path) -> Vec<u64> {
        let of = |batch: &RecordBatch| {
            batch.column_by_name("seq").expect("seq").as_primitive::<UInt64Type>().values().to_vec()
        };
        read(path).iter().flat_map(of).collect()
    }

    #[test]
    fn a_file_says_what_its_messages_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.parquet");
        let messages: Vec<_> =
            (0..3).map(|number| serde_json::to_string(&detection(number)).expect("JSON")).collect();
        write(&path, &messages).expect("written");
        assert_eq!(numbers(&path), [0, 1, 2]);
        let batch = read(&path).remove(0);
        let text =
            |name: &str| batch.column_by_name(name).expect("a column").as_string::<i32>().value(1).to_owned();
        assert_eq!(text("message"), messages[1]);
        assert_eq!(
            (text("taxon"), text("type"), text("id")),
            ("Quercus".into(), "new".into(), "id-1".into())
        );
        let time = batch.column_by_name("time").expect("time");
        assert_eq!(format!("{}", time.data_type()), r#"Timestamp(ms, "UTC")"#);
        assert!(batch.column_by_name("target").expect("target").is_null(0));
        let lineage = batch.column_by_name("lineage").expect("lineage").as_list::<i32>().value(0);
        assert_eq!(lineage.as_string::<i32>().value(1), "Quercus");
    }
}
