//! `xpipe explain`: the page of a diagnostic code.

use super::options::Common;
use super::out;
use xpipe_base::diag::Code;
use xpipe_base::diag::suggest::did_you_mean;
use xpipe_study::session::Error;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// The code, for instance `types::free_axis`. Default: list all codes.
    code: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<u8, Error> {
    let Some(wanted) = &args.code else {
        let mut codes: Vec<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
        codes.sort_unstable();
        if common.json {
            out::json(&serde_json::json!(codes));
        } else {
            out::line(&codes.join("\n"));
        }
        return Ok(0);
    };
    match Code::ALL.iter().find(|c| c.as_str() == wanted) {
        Some(code) if common.json => {
            out::json(&serde_json::json!({ "code": code.as_str(), "page": code.page() }));
            Ok(0)
        }
        Some(code) => {
            out::line(&format!("{}\n\n{}", code.as_str(), code.page().trim_end()));
            Ok(0)
        }
        None => {
            let help = did_you_mean(wanted, Code::ALL.iter().map(|c| c.as_str()))
                .unwrap_or_else(|| "`xpipe explain` lists all".to_owned());
            Err(Error::usage(format!("there is no code `{wanted}`")).help(help))
        }
    }
}
