use super::*;

/// What is written here is put together when the test runs, so that nobody who looks for leaked keys finds these.
fn made(beginning: &str, rest: &str) -> String {
    format!("{beginning}{rest}")
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const MIXED: &str = "AbCdEf0123456789GhIjKlMnOpQrStUvWxYz";
const HEX: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn secrets_go_and_figures_stay() {
    for (text, shown) in [
        ("Namespace(api_key='abc123', port=8000)", "Namespace(api_key='[redacted]', port=8000)"),
        ("--api-key abc123 --port 1", "--api-key [redacted] --port 1"),
        ("API_KEYS=k1,k2 n=1", "API_KEYS=[redacted],[redacted] n=1"),
        ("tokens_of=k1, api_keys=k2,port=1", "tokens_of=k1, api_keys=[redacted],port=1"),
        ("'api_key': ['k1']", "'api_key': ['[redacted]']"),
        ("'api_key': ['k1', 'k2'], 'n': ['x']", "'api_key': ['[redacted]', '[redacted]'], 'n': ['x']"),
        ("['serve', '--api-key', 'k1', '--port']", "['serve', '--api-key', '[redacted]', '--port']"),
        ("HF_TOKEN=whatever x", "HF_TOKEN=[redacted] x"),
        ("bad hf_abcdefghijklmnopqrstuvwx in a path", "bad [redacted] in a path"),
        ("http://user:pw@host/x", "http://[redacted]@host/x"),
        ("http://user:p/w@host/x@y", "http://[redacted]@host/x@y"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("Authorization: Basic dXNlcjpwdw== end", "Authorization: Basic [redacted] end"),
        (r#"{\"password\": \"two words\", \"n\": 1}"#, r#"{\"password\": \"[redacted]\", \"n\": 1}"#),
        ("password='two words' n=1", "password='[redacted]' n=1"),
        ("http://h/?token=abcdefgh1&n=1", "http://h/?token=[redacted]&n=1"),
        ("AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("Cookie: a=b; c=d\nnext", "Cookie: [redacted]\nnext"),
        (r"said\ntoken=abcdefgh1", r"said\ntoken=[redacted]"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE/x+y=\n-----END RSA PRIVATE KEY-----",
            "-----BEGIN RSA PRIVATE KEY-----\n[redacted]\n-----END RSA PRIVATE KEY-----",
        ),
    ] {
        assert_eq!(redact(text), shown);
        assert_eq!(redact(shown), shown, "what was redacted stays as it is");
    }
}

/// Each form with the part of it that must not be seen.
fn forms() -> Vec<(String, String)> {
    let tokens = [
        ("hf_", LETTERS),
        ("api_org_", LETTERS),
        ("sk-", MIXED),
        ("sk-proj-", MIXED),
        ("sk-ant-api03-", MIXED),
        ("sk-or-v1-", LETTERS),
        ("ghp_", LETTERS),
        ("gho_", LETTERS),
        ("ghu_", LETTERS),
        ("ghs_", LETTERS),
        ("ghr_", LETTERS),
        ("github_pat_", "11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz"),
        ("glpat-", "abcdefghij_klmn-opqr"),
        ("nvapi-", MIXED),
        ("r8_", LETTERS),
        ("gsk_", LETTERS),
        ("xai-", MIXED),
        ("npm_", LETTERS),
        ("pypi-", "AgEIcHlwaS5vcmcCJDAbcdefgh"),
        ("xoxb-", "1234567890-abcdefghijklmnop"),
        ("xoxp-", "1234567890-abcdefghijklmnop"),
        ("xapp-", "1-A0123456789-0123456789-abcdef"),
        ("AKIA", "ABCDEFGHIJKLMNOP"),
        ("ASIA", "ABCDEFGHIJ012345"),
        ("AIza", MIXED),
        ("ya29.", MIXED),
        ("dapi", HEX),
        ("sk_live_", "abcdefghijklmnopqrstuvwx"),
        ("rk_live_", "abcdefghijklmnopqrstuvwx"),
        ("SG.", "abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"),
        ("SK", HEX),
        ("hvs.", MIXED),
        ("eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcdefghijk"),
        ("pplx-", MIXED),
        ("LTAI", MIXED),
        ("AKID", LETTERS),
        ("glsa_", "abcdefghijklmnopqrstuvwxyz012345_0123abcd"),
        ("dckr_pat_", MIXED),
        ("tskey-", "auth-abcdefghijkl-abcdefghijklmnopqrst"),
        ("lin_api_", LETTERS),
        ("ntn_", LETTERS),
        ("tvly-", "dev-abcdefghijklmnopqrst"),
        ("fw_", LETTERS),
        ("sbp_", HEX),
        ("key-", HEX),
        ("sq0atp-", "abcdefghij_klmn-opqrst"),
        ("PMAK-", "0123456789abcdef01234567-0123456789abcdef0123456789abcdef01"),
        ("NRAK-", "ABCDEFGHIJ0123456789ABCDEFG"),
        ("dp.st.", "prd.abcdefghijklmnopqrstuvwxyz0123456789"),
        ("sntryu_", HEX),
        ("sntrys_", "eyJpYXQiOjE2abcdefghijklmnopqrstuvwxyz_0123456789"),
        ("rubygems_", HEX),
        ("figd_", MIXED),
        ("ATBB", "abcdefghijklmnopqrstuvwx01234567"),
        ("pscale_tkn_", MIXED),
        ("e2b_", HEX),
        ("shpss_", HEX),
        ("hvb.", MIXED),
        ("pul-", HEX),
        ("AGE-SECRET-", "KEY-1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE"),
        ("hooks.slack.com/", "services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"),
        ("discord.com/api/", "webhooks/123456789012345678/abcdefghijklmnopqrstuvwxyz-_0123456789"),
        ("api.telegram.org/", "bot7123456789:AAEabcdefghijklmnopqrstuvwxyz012345"),
    ];
    let mut forms: Vec<(String, String)> = tokens
        .iter()
        .flat_map(|(beginning, rest)| {
            let token = made(beginning, rest);
            [(format!("could not use {token} here"), token.clone()), (format!("see https://h/{token}/x."), token)]
        })
        .collect();
    let named = [
        ("https://h/x?sv=1&sig=", "AbCdEf0123456789%3D"),
        ("https://h/x?X-Amz-Date=1&X-Amz-Signature=", HEX),
        ("X-Goog-Signature=", HEX),
        ("https://h/x?X-Amz-Security-Token=", MIXED),
        ("https://d.example/x?Expires=1&Signature=", MIXED),
        ("https://h/maps?key=", LETTERS),
        ("SharedAccessSignature=", MIXED),
        ("DefaultEndpointsProtocol=https;AccountKey=", "abc/def+0123456789=="),
        ("Cookie: session=", "AbCdEf0123456789"),
        ("Set-Cookie: id=1; session=", "AbCdEf0123456789"),
        ("'cookie': 'session=", "AbCdEf0123456789"),
        ("X-Api-Key: ", "plainvalue77"),
        ("Proxy-Authorization: Basic ", "dXNlcjpwdw=="),
        ("Authorization: AWS4-HMAC-SHA256 Credential=", "AK/2026, Signature=abc"),
        ("HF_TOKEN_READ=", "plainvalue77"),
        ("OPENAI_KEY_PROD=", "plainvalue77"),
        ("MY_SECRET_2=", "plainvalue77"),
        ("DB_PASSWORD_OLD=", "plainvalue77"),
        ("DB_PASS=", "plainvalue77"),
        ("accessToken: ", "plainvalue77"),
        ("\"apiKey\": \"", "plainvalue77"),
        ("accesskey=", "plainvalue77"),
        ("refresh_token=", "plainvalue77"),
        ("client_secret=", "plainvalue77"),
        ("passphrase: ", "plainvalue77"),
        ("--hf-token ", "plainvalue77"),
        ("wandb: ", "0123456789abcdef0123456789abcdef01234567"),
        ("wandb login --relogin ", "0123456789abcdef0123456789abcdef01234567"),
        ("pwd: ", "hunter22"),
        ("user=u pwd=", "plainvalue"),
        ("db_pwd=", "plainvalue77"),
        ("pass=", "plainvalue77"),
        ("--user u --db-pass=", "plainvalue77"),
        ("session_id=", "plainvalue77"),
        ("Mcp-Session-Id: ", "123e4567-e89b-12d3-a456-426614174000"),
        ("JSESSIONID=", "0123456789ABCDEF0123"),
        ("jwt=", "plainvalue77"),
        ("'user_jwt': '", "plain.value.seventy"),
        ("SAS=", "plainvalue77"),
        ("BLOB_SAS=", "plainvalue77"),
        ("KEYS_FOR=", "plainvalue77"),
        ("MY_KEYS=", "onevalue"),
        ("OPENAIKEY=", "plainvalue77"),
        ("HFTOKEN=", "plainvalue77"),
        ("hftoken: ", "plainvalue77"),
        ("mykey=", "plainvalue77"),
        ("MODEL_TOKEN=", "plainvalue77"),
        ("HUB_TOKENS=", "plainvalue77"),
        ("TOKENS_FOR=", "plainvalue77"),
        ("KEY=", "plainvalue77"),
        ("KEYFOR_HUB=", "plainvalue77"),
        ("DBPASSWORD2=", "plainvalue77"),
        ("MYSECRETS=", "plainvalue77"),
        ("secretary_password=", "plainvalue77"),
        ("hmac_key: ", "plainvalue77"),
        ("stripe-key=", "plainvalue77"),
        ("passcode=", "123456"),
        ("GH_PAT=", "plainvalue77"),
        ("\"ci_pat\": \"", "plainvalue77"),
        ("aws_creds=", "plainvalue77"),
        ("_auth=", "dXNlcjpwYXNzd29yZA=="),
        ("redis://:", "hunter22"),
        ("postgres://u:", "pa/ss"),
        ("-----BEGIN PRIVATE KEY-----\\n", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"),
    ];
    forms.extend(named.iter().map(|(lead, secret)| {
        let end = if secret.len() < 9 && lead.contains("://") { "@host/x" } else { "" };
        (format!("{lead}{secret}{end}"), (*secret).to_owned())
    }));
    forms
}

#[test]
fn every_form_of_a_secret_is_hidden() {
    let forms = forms();
    assert!(forms.len() >= 150, "{}", forms.len());
    let seen = |(text, secret): &&(String, String)| {
        let shown = redact(text);
        shown.contains(secret.as_str()) || !shown.contains(REDACTED) || redact(&shown) != shown
    };
    let shown: Vec<_> = forms.iter().filter(seen).collect();
    assert!(shown.is_empty(), "{} of {} are shown: {shown:#?}", shown.len(), forms.len());
    let untold =
        |(text, secret): &&(String, String)| !secrets_in(text).iter().any(|told| told.contains(secret.as_str()));
    let untold: Vec<_> = forms.iter().filter(untold).collect();
    assert!(untold.is_empty(), "not told: {untold:#?}");
}

#[test]
fn what_looks_like_a_secret_and_is_none_stays() {
    let harmless = [
        "Llama-2-7b-hf_in256_out128_bs8",
        "hf_quantization_config",
        "hf_overrides={'a': 1}",
        "max_tokens=128",
        "token_ids=[1, 2]",
        "tokenizer='x'",
        "tokenizer_mode=auto",
        "num_key_value_heads=8",
        "key_value=abcdefgh1",
        "kv_cache_dtype=fp8_e4m3",
        "key_cache: torch.Size([1, 2])",
        "eos_token='</s>'",
        "pad_token: <|endoftext|>",
        "eos_token_id=128009",
        "skip_special_tokens=True",
        "max_num_batched_tokens=8192",
        "time_per_output_token_ms=12.5",
        "token_type_ids",
        "token_embd.weight: Q4_K",
        "image_token_index=32000",
        "api_key=None",
        "'hf_token': None",
        "api_key: Optional[str]",
        "use_auth_token=True",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "nvcr.io/nvidia/x@sha256:0123456789abcdef0123456789abcdef",
        "123e4567-e89b-12d3-a456-426614174000",
        "GPU-123e4567-e89b-12d3-a456-426614174000",
        "MIG-123e4567-e89b-12d3-a456-426614174000",
        "commit 0123456789abcdef0123456789abcdef01234567",
        "wandb at commit 0123456789abcdef0123456789abcdef01234567",
        "sk-learn-contrib-package-1.2",
        "sk-learn-randomforestclassifier",
        "risk-assessment-of-a-long-name",
        "task-0123456789abcdef",
        "disk-by-uuid-0123456789abcdef",
        "meta-llama/Llama-3.1-8B",
        "a://b:1/c@d",
        "http://[::1]:8000/v1/x@y",
        "http://localhost:8000/v1/models",
        "tcp://127.0.0.1:29500",
        "git@github.com:org/name.git",
        "s3://bucket/key=value/part",
        "time per token: 12.345678 ms",
        "Avg prompt throughput: 100.0 tokens/s, Avg generation throughput: 20.5 tokens/s",
        "Incorrect password for this user",
        "an API key is required",
        "unexpected argument '--api-key' found, did you mean \"--hf-token\" instead",
        "['--api-key', '--port', '1']",
        "the bearer token was refused",
        "secret santa",
        "ASIAPACIFIC",
        "npm_config_registry=https://registry.npmjs.org/",
        "pypi-publish-workflow-action",
        "r8_layers_of_a_long_model_name",
        "PWD=/srv/vllm",
        "ssl_keyfile=/etc/x.pem",
        "--ssl-keyfile /etc/x.pem",
        "sort_key=duration",
        "fw_attention_kernel_with_long_name_bf16",
        "https://hooks.slack.com/services",
        "https://discord.com/api/webhooks/",
        "pul-request",
        "cache_key=0123456789abcdef0123456789abcdef",
        "public_key=abcdefgh12345678",
        "significant=12345678",
        "signature=(self, x)",
        "a forward pass: 12.5 ms",
        "compilation passes: 3",
        "author=someone12345",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "monkey=banana12345",
        "cookie monster was here",
        "eyJhbGciOi",
        "secretary=Miller",
        "secretary_name=Jane Miller",
        "secretion: 12345678",
        "passwordless=enabled12",
        "password_min_length=12",
        "password_policy=strict2026",
        "secret_name=hub-credentials",
        "token_ttl=3600",
        "token_url=https://login.example/oauth2",
        "jwt_algorithm=HS256",
        "jwt_issuer: https://login.example",
        "pwd: /srv/models",
        "OLDPWD=/srv/vllm",
        "pwd=C:\\models",
        "pass=PostGradPassManager",
        "pass: 12.5 ms",
        "fusion_pass=rms_quant_fp8",
        "session_id=7",
        "session_dir=/tmp/ray/session_2026-01-02",
        "session_name=session_2026-01-02_03-04",
        "sas: 12.0 Gb/s",
        "disaster=recovery2026",
        "KEYBOARD=us_intl_2026",
        "KEYCLOAK_REALM=realm2026ab",
        "keyword=abcdefgh12",
        "TURKEY=ankara12345",
        "hotkey=ctrl12345678",
        "MAX_TOKENS=12345678",
        "TOKENIZERS_PARALLELISM=false",
        "VLLM_MAX_TOKENS_PER_EXPERT_FUSED_MOE=16384",
        "TOKEN_BUDGET=8192",
        "MAX_NUM_BATCHED_TOKENS=8192",
        "token_dispatch=deepep_v2_high_throughput",
        "VLLM_MOE_TOKEN_DISPATCH=deepep_v2_high_throughput",
        "EOS_TOKEN=<|im_end_2|>",
        "KV_KEYS=abcdefgh",
        "key_value_heads=8",
        "num_keys_per_block=12345678",
        "subtokens=abcdefgh12",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN=1",
        "tokens: 7970000",
        "PUBLIC_KEY=abcdefgh12345678",
        "cache_key-0123456789abcdef0123456789abcdef",
        "monkey-0123456789abcdef0123456789abcdef",
        "key-0123456789abcdef0123456789abcdef-layer",
        "key-0123456789abcdef",
        "rubygems_mirror_of_the_organization",
        "jina_embeddings_v3_base_en",
        "figd_theme",
        "incredible=abcdefgh12",
        "process=abcdefgh12",
        "pattern=abcdefgh12",
        "auth=none",
        "auth: basic",
        "compat: abcdefgh12",
        "quantization=compressed-tensors",
        "hf_token_type=fine_grained_2026",
    ];
    assert!(harmless.len() >= 110, "{}", harmless.len());
    let hit: Vec<_> = harmless.iter().filter(|text| redact(text) != **text).map(|text| redact(text)).collect();
    assert!(hit.is_empty(), "{} of {} are hidden: {hit:#?}", hit.len(), harmless.len());
}

#[test]
fn what_is_hidden_is_told() {
    for (text, secrets) in [
        ("--otlp http://user:pa55word@host:1/x", &["user:pa55word", "pa55word"][..]),
        (r#"{"token": "abcdefgh", "n": 1}"#, &["abcdefgh"]),
        ("Authorization: Bearer abc.def", &["abc.def"]),
        ("at hf_abcdefghijklmnopqrstuvwx", &["hf_abcdefghijklmnopqrstuvwx"]),
        ("http://host:8000/x max_tokens=128", &[]),
        ("http://[redacted]@host and user:[redacted]", &[]),
    ] {
        assert_eq!(secrets_in(text), secrets, "{text}");
    }
}

#[test]
fn every_value_of_a_secret_flag_is_hidden_and_no_other() {
    let words = ["vllm", "serve", "m", "--api-key", "k1", "k2", "--hf-token=t", "--max-num-batched-tokens", "2048"];
    let shown = redact_args(words.iter().copied().chain(["--header", "Authorization: Bearer x", "--token="]));
    let expected = "vllm serve m --api-key [redacted] [redacted] --hf-token=[redacted] \
        --max-num-batched-tokens 2048 --header Authorization: Bearer [redacted] --token=";
    assert_eq!(shown.join(" "), expected);
}

#[test]
fn a_variable_is_shown_only_if_it_is_known_and_holds_no_secret() {
    assert_eq!(shown_env("VLLM_USE_V1", "1"), Some("1"));
    assert_eq!(shown_env("CUDA_VISIBLE_DEVICES", "0,1"), Some("0,1"));
    for (name, value) in [
        ("VLLM_API_KEY", "abc"),
        ("VLLM_TOKEN_READ", "abc"),
        ("HF_TOKEN", "abc"),
        ("MY_SETTING", "abc"),
        ("MODEL", "http://u:p@h/m"),
        ("VLLM_NOTE", "hf_abcdefghijklmnopqrstuvwx"),
    ] {
        assert_eq!(shown_env(name, value), None, "{name}");
    }
}

/// What is searched again for each part, or calls itself for each, does not end here within a minute, or overflows.
#[test]
fn a_text_of_one_part_repeated_ends() {
    let parts = [
        "://",
        "://a:b",
        "://a:b/",
        "http://u:p@h ",
        "@://",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN ",
        "key_",
        "key=",
        "key='",
        "token=\"",
        "cookie ",
        "cookie: ",
        "authorization: digest ",
        "hf_",
        "sk-",
        "eyJ",
        "wandb ",
        "password ",
        "api_key=[",
        "?sig=",
        "a=[secret",
        "\\ntoken",
        "key-",
        "jwt=",
        "sas",
        "session_id=\"",
        "pwd: ",
        "_pat=",
        "KEYS_FOR=",
    ];
    for part in parts {
        let text = part.repeat((1 << 17) / part.len());
        let shown = redact(&text);
        assert!(shown == text || shown.contains(REDACTED), "{part}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_redacted_once(text in "(key|token=|'|\"|://|@|:|/| |\\[|\\]|,|hf_[a-z]{20}|é|-----BEGIN PRIVATE KEY-----|cookie|[a-z0-9]{0,9}){0,12}") {
        let shown = redact(&text);
        let told: usize = secrets_in(&text).iter().map(String::len).sum();
        proptest::prop_assert!(shown.len() <= text.len() + told.max(1) * REDACTED.len());
        proptest::prop_assert_eq!(shown == text, secrets_in(&text).is_empty());
    }
}
