use super::*;

fn inline(data: &str, inline_bytes_max: u64) -> Result<Vec<u8>, FetchError> {
    let fetcher = Fetcher::new(&Config { inline_bytes_max, ..Config::default() }).unwrap();
    fetcher.inline(data)
}

#[test]
fn inline_audio_is_base64_with_or_without_padding() {
    assert_eq!(inline("T2dnUw==", 10).unwrap(), b"OggS");
    assert_eq!(inline("T2dnUw", 10).unwrap(), b"OggS");
    assert_eq!(inline("", 10).unwrap(), b"");
    for bad in ["T2dn Uw==", "T2dn\u{e4}", "_-"] {
        let error = inline(bad, 10).unwrap_err();
        assert_eq!((error.reason(), error.disposition()), (Reason::InvalidInlineAudio, Disposition::Fail), "{bad}");
    }
}

#[test]
fn inline_audio_is_limited_by_its_bytes_before_it_is_decoded() {
    assert_eq!(inline("T2dnUw==", 4).unwrap(), b"OggS");
    assert_eq!(inline("T2dnUw==", 3), Err(FetchError::InlineTooLarge { inline_bytes_max: 3 }));
    // Not valid base64 at its end, which is never looked at.
    let long = format!("{}!", "A".repeat(1_000));
    assert_eq!(inline(&long, 100), Err(FetchError::InlineTooLarge { inline_bytes_max: 100 }));
}

#[tokio::test]
async fn without_configuration_only_inline_audio_is_fetched() {
    let fetcher = Fetcher::new(&Config::default()).unwrap();
    for source in [
        AudioSource::Url { url: "https://media.example.com/a".parse().unwrap() },
        AudioSource::File { path: "/etc/passwd".to_owned() },
        AudioSource::Object { bucket: "b".to_owned(), key: "k".to_owned() },
    ] {
        let error = fetcher.fetch(&source).await.unwrap_err();
        assert_eq!((error.reason(), error.disposition()), (Reason::SourceForbidden, Disposition::Fail));
    }
    let inline = AudioSource::Inline { data: "T2dnUw==".to_owned() };
    assert_eq!(fetcher.fetch(&inline).await.unwrap(), b"OggS");
}

#[test]
fn the_configuration_refuses_unknown_keys_and_written_out_secrets() {
    assert!(toml::from_str::<Config>("bytes_max = 5\nhosts = ['a.example']").is_ok());
    assert!(toml::from_str::<Config>("host = ['a.example']").is_err());
    let store = |key: &str| {
        format!(
            "[object_store]\nendpoint = 'https://s3.example.com'\nregion = 'r'\nbuckets = []\n\
             access_key = {key}\nsecret_key = {{ file = '/run/secrets/s3' }}"
        )
    };
    assert!(toml::from_str::<Config>(&store("{ env = 'S3_ACCESS_KEY' }")).is_ok());
    assert!(toml::from_str::<Config>(&store("'AKIA'")).is_err());
}
