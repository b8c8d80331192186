//! The CACM collection of the shared data, as its files have it.

use std::io::Read;

/// CACM as its files have it.
pub struct Cacm {
    /// Id and text.
    pub documents: Vec<(String, String)>,
    /// Id and text.
    pub topics: Vec<(String, String)>,
    /// Query, document, grade.
    pub qrels: Vec<(String, String, i32)>,
    /// Query, document, score: what Anserini found.
    pub run: Vec<(String, String, f32)>,
}

/// The shared CACM, when it is there.
#[track_caller]
pub fn cacm() -> Option<Cacm> {
    let dir = crate::shared("cacm")?;
    let file = std::fs::File::open(dir.join("cacm.tar.gz")).unwrap();
    let text = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let mut documents = Vec::new();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().file_stem().unwrap().to_string_lossy().into_owned();
        let mut html = String::new();
        entry.read_to_string(&mut html).unwrap();
        let tags = ["<html>", "<pre>", "</pre>", "</html>"];
        documents.push((name, tags.iter().fold(html, |text, tag| text.replace(tag, ""))));
    }
    let topics = text("topics.cacm.txt");
    let topic = |part: &str| {
        let (id, text) = part.split_once("</DOCNO>").unwrap();
        (id.replace("<DOCNO>", "").trim().to_owned(), text.split("</DOC>").next().unwrap().to_owned())
    };
    let rows = |text: String| -> Vec<Vec<String>> {
        text.lines().map(|l| l.split_whitespace().map(str::to_owned).collect()).collect()
    };
    Some(Cacm {
        documents,
        topics: topics.split("<DOC>").skip(1).map(topic).collect(),
        qrels: rows(text("qrels.cacm.txt"))
            .into_iter()
            .map(|f| (f[0].clone(), f[2].clone(), f[3].parse().unwrap()))
            .collect(),
        run: rows(text("anserini.cacm-bm25.run.txt"))
            .into_iter()
            .map(|f| (f[0].clone(), f[2].clone(), f[4].parse().unwrap()))
            .collect(),
    })
}
