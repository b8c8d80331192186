use super::super::{Evaluated, evaluate, write_all};
use super::*;
use xpipe_lang::graph::{Claim, Format, Report, Row, Section};

fn study() -> Study {
    let mut s = Study::default();
    let mut t = table(&["a"], &["b"], vec![vec![Some(Value::Float(0.5))]]);
    t.write = vec![Format::Html, Format::Latex, Format::Csv, Format::Markdown];
    for labels in [names(&["x"]), names(&["\"a/b\""]), names(&["\"a?b\""])] {
        s.graph.tables.push(Table { labels, ..t.clone() });
    }
    s.graph.tables.push(Table { name: "quiet".into(), write: Vec::new(), ..t });
    s.graph.claims.push(Claim {
        name: "holds".into(),
        span: SPAN,
        labels: Vec::new(),
        text: Value::str(""),
        expect: Ok(Value::Bool(false)),
    });
    s.graph.rows.push(Row {
        name: "model".into(),
        axes: Vec::new(),
        cells: Vec::new(),
        named: true,
        docs: Vec::new(),
    });
    s.graph.reports.push(Report {
        name: "main".into(),
        span: SPAN,
        title: None,
        sections: vec![
            Section::Output("dl".into()),
            Section::Output("holds".into()),
            Section::Costs(vec!["model".into(), "nothing".into()]),
        ],
        html: Some("report/index.html".into()),
    });
    s
}

#[test]
fn everything_asked_for_is_there_or_told() {
    let s = study();
    let e = evaluate(&s.graph, &s.results).unwrap();
    assert_eq!((e.tables.len(), e.claims.len(), e.costs.len()), (4, 1, 1));
    assert_eq!((e.failed_claims(), e.holes()), (1, 0));
    assert_eq!(e.notes, ["report `main`: there is no stage `nothing`"]);
}

#[test]
fn files_appear_whole_under_their_names() {
    let s = study();
    let e = evaluate(&s.graph, &s.results).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let written = write_all(dir.path(), &e).unwrap();
    let mut found: Vec<String> = std::fs::read_dir(dir.path().join("tables"))
        .unwrap()
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<String> = ["dl[_a_b_]", "dl[_a_b_]~2", "dl[x]"]
        .iter()
        .flat_map(|n| ["csv", "md", "tex"].map(|s| format!("{n}.{s}")))
        .chain(["costs(model).csv".to_owned(), "costs(model).md".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(found, expected);
    assert_eq!(written.files.len(), found.len());
    let text = std::fs::read_to_string(dir.path().join("tables/dl[x].csv")).unwrap();
    assert_eq!(text.lines().nth(1), Some("a,b,0.5,,,,,,,,,,,,,,"));
    // Again over the old files, with the same result.
    assert_eq!(write_all(dir.path(), &e).unwrap(), written);
    assert_eq!(write_all(&dir.path().join("none"), &Evaluated::default()).unwrap().files.len(), 0);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let s = study();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tables"), "in the way").unwrap();
    let e = write_all(dir.path(), &evaluate(&s.graph, &s.results).unwrap()).unwrap_err();
    assert!(e.message.contains("tables"), "{e}");
}

#[test]
fn parquet_says_what_csv_says() {
    use xpipe_data::table::{Kind, TableReader};
    let mut e = evaluate(&study().graph, &study().results).unwrap();
    e.costs.clear();
    e.tables.truncate(1);
    e.tables[0] = super::rendering::filled();
    e.tables[0].write = vec![Format::Parquet];
    let dir = tempfile::tempdir().unwrap();
    let written = write_all(dir.path(), &e).unwrap();
    assert_eq!(written.files.len(), 1);
    let columns = [
        ("row", Kind::Text),
        ("column", Kind::Text),
        ("value", Kind::Double),
        ("p_adjusted", Kind::Double),
        ("mark", Kind::Text),
        ("text", Kind::Text),
    ];
    let mut table = TableReader::open(&written.files[0], &columns).unwrap();
    let csv = super::super::csv(&e.tables[0]);
    let mut lines = csv.lines().skip(1);
    let mut numbers = 0;
    while let Some(row) = table.row().unwrap() {
        let fields: Vec<&str> = lines.next().unwrap().split(',').collect();
        assert_eq!([row.text(0), row.text(1), row.text(4)], [fields[0], fields[1], fields[16]]);
        for (column, field) in [(2, fields[2]), (3, fields[6])] {
            let x = row.double(column);
            match field.parse::<f64>() {
                Ok(number) => assert_eq!(x, number),
                Err(_) => assert!(x.is_nan() && (column != 2 || row.text(5) == field), "{x} {field}"),
            }
            numbers += usize::from(!x.is_nan());
        }
    }
    assert!(lines.next().is_none() && numbers > 2, "{csv}");
}
