//! The bodies of webhooks. Texts of others cannot mention people or break the format: they go in as plain
//! text where a chat has it, and else where it looks for no marks.

use crate::notify::event::Event;
use crate::notify::event::EventKind;
use crate::notify::event::end_of;
use crate::notify::event::start_of;
use crate::settings::channel::Template;
use serde_json::Value;
use serde_json::json;

/// The body for an event; `chat` is for Telegram, `topic` for ntfy.
pub(crate) fn body(template: Template, event: &Event, chat: &str, topic: &str) -> Value {
    let title = format!("{} {}", sign(event), event.title);
    let text = event.words();
    match template {
        Template::Json => own(event),
        Template::Slack => slack(&title, &text),
        // A fence ends nowhere but where we end it; nothing in it mentions anybody.
        Template::Mattermost | Template::RocketChat => {
            let text = end_of(&text, FENCED_LETTERS_MAX).replace('`', "'");
            json!({ "text": format!("{}\n```\n{text}\n```", plain(&title)) })
        }
        Template::Discord => json!({
            "content": "",
            "allowed_mentions": { "parse": [] },
            "embeds": [{
                "title": start_of(&plain(&title), 256),
                "description": format!("```\n{}\n```", end_of(&text, 3_900).replace('`', "'")),
                "color": color(event.kind),
                "timestamp": event.moment(),
            }],
        }),
        Template::Teams => teams(&title, &text),
        Template::GoogleChat => {
            // `<users/all>` calls everybody.
            let text = end_of(&text, 3_500).replace('<', "‹").replace('`', "'");
            json!({ "text": format!("{}\n```\n{text}\n```", plain(&title).replace('<', "‹")) })
        }
        Template::Telegram => json!({
            "chat_id": chat,
            "text": format!("{title}\n\n{}", end_of(&text, 3_500)),
            "link_preview_options": { "is_disabled": true },
        }),
        Template::Ntfy => json!({
            "topic": topic,
            "title": title,
            "message": end_of_bytes(&text, 3_500),
            "priority": if event.kind.is_bad() { 4 } else { 3 },
        }),
        Template::Gotify => json!({
            "title": title,
            "message": text,
            "priority": if event.kind.is_bad() { 8 } else { 4 },
        }),
    }
}

/// Our own format, which commands get, too.
pub(crate) fn own(event: &Event) -> Value {
    json!({
        "version": 1,
        "event": event.kind.word(),
        "subject": event.subject,
        "host": event.host,
        "time": event.moment(),
        "title": event.title,
        "text": event.text,
        "exit_code": event.exit_code,
        "snapshot": event.snapshot,
        "run": event.run,
        "level": event.escalated_to.unwrap_or(1),
        "details": event.details,
    })
}

fn slack(title: &str, text: &str) -> Value {
    let escaped = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let plain = |text: String| json!({ "type": "plain_text", "emoji": false, "text": text });
    json!({
        "text": escaped,
        "blocks": [
            { "type": "header", "text": plain(start_of(title, 150)) },
            { "type": "section", "text": plain(end_of(text, 3_000)) },
        ],
    })
}

/// A card of Workflows; its runs of text know no Markdown.
fn teams(title: &str, text: &str) -> Value {
    let run = |text: &str, more: Value| {
        let mut run = json!({ "type": "TextRun", "text": text });
        if let (Some(run), Value::Object(more)) = (run.as_object_mut(), more) {
            run.extend(more);
        }
        json!({ "type": "RichTextBlock", "inlines": [run] })
    };
    let mut card = vec![run(title, json!({ "weight": "Bolder", "size": "Medium" }))];
    let text = end_of(text, 5_000);
    card.extend(text.lines().filter(|line| !line.is_empty()).map(|line| run(line, json!({}))));
    // Of many lines the last ones count.
    let excess = card.len().saturating_sub(CARD_LINES_COUNT_MAX);
    if excess > 0 {
        card.drain(1..=excess);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": card,
            },
        }],
    })
}

fn sign(event: &Event) -> &'static str {
    match event.kind {
        EventKind::Failure | EventKind::Missed => "🔴",
        EventKind::Recovered | EventKind::Succeeded => "🟢",
        EventKind::Monthly | EventKind::Test | EventKind::Started => "🔵",
    }
}

fn color(kind: EventKind) -> u32 {
    match kind {
        EventKind::Failure | EventKind::Missed => 0x00d0_342c,
        EventKind::Recovered | EventKind::Succeeded => 0x0028_9a3e,
        EventKind::Monthly | EventKind::Test | EventKind::Started => 0x002c_6fd0,
    }
}

/// One line in which chats find no mention and no marks.
fn plain(title: &str) -> String {
    let mut plain = String::new();
    for letter in title.chars() {
        match letter {
            '@' => plain.push_str("@\u{200b}"),
            '*' | '_' | '~' | '`' | '[' | ']' | '#' | '<' | '>' | '|' | '\\' => {
                plain.push('\u{200b}');
                plain.push(letter);
            }
            letter if letter.is_control() => plain.push(' '),
            letter => plain.push(letter),
        }
    }
    plain
}

/// The end of a text in at most so many bytes.
fn end_of_bytes(text: &str, bytes_max: usize) -> String {
    let mut from = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or_default().to_owned()
}

const FENCED_LETTERS_MAX: usize = 6_000;
const CARD_LINES_COUNT_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Template; 10] = [
        Template::Json,
        Template::Slack,
        Template::Mattermost,
        Template::RocketChat,
        Template::Discord,
        Template::Teams,
        Template::GoogleChat,
        Template::Telegram,
        Template::Ntfy,
        Template::Gotify,
    ];

    fn hostile() -> Event {
        let mut event = Event::new(EventKind::Failure, "db\"}", 0);
        event.title = "\"} <!channel> @everyone </at> **x**".to_owned();
        let text = "```\n<users/all> @here \u{0} \u{1b}[31m \\u0000 {\"a\":\n";
        event.text = text.repeat(400);
        event.bounded()
    }

    #[test]
    fn every_body_is_bounded_and_says_what_happened() {
        for template in ALL {
            let text = body(template, &hostile(), "-100", "backups").to_string();
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{template:?}");
            assert!(text.len() < 28_000, "{template:?}: {}", text.len());
            assert!(text.contains("exit code") || text.contains("1970-01-01"), "{template:?}");
        }
    }

    #[test]
    fn texts_of_others_call_nobody() {
        let text = |template| body(template, &hostile(), "-100", "backups").to_string();
        let slack = body(Template::Slack, &hostile(), "", "");
        assert!(!slack["text"].as_str().unwrap().contains("<!channel>"));
        assert_eq!(slack["blocks"][1]["text"]["type"], "plain_text");
        for template in [Template::Mattermost, Template::RocketChat, Template::GoogleChat] {
            let body = body(template, &hostile(), "", "");
            let told = body["text"].as_str().unwrap();
            assert_eq!(told.matches("```").count(), 2, "{template:?}");
            let (title, _fenced) = told.split_once("```").unwrap();
            assert!(!title.contains("@everyone") && !title.contains("**"), "{title}");
        }
        assert!(!text(Template::GoogleChat).contains("<users/all>"));
        let discord = body(Template::Discord, &hostile(), "", "");
        assert_eq!(discord["allowed_mentions"], json!({ "parse": [] }));
        assert!(!text(Template::Telegram).contains("parse_mode"));
        assert!(!text(Template::Teams).contains("TextBlock\",\"text"));
    }

    #[test]
    fn chats_limits_are_kept() {
        let discord = body(Template::Discord, &hostile(), "", "");
        let letters = |value: &Value| value.as_str().unwrap().chars().count();
        assert!(letters(&discord["embeds"][0]["title"]) <= 256);
        assert!(letters(&discord["embeds"][0]["description"]) <= 4_096);
        let slack = body(Template::Slack, &hostile(), "", "");
        assert!(letters(&slack["blocks"][0]["text"]["text"]) <= 150);
        assert!(letters(&slack["blocks"][1]["text"]["text"]) <= 3_000);
        assert!(letters(&body(Template::Telegram, &hostile(), "1", "")["text"]) <= 4_096);
        assert!(letters(&body(Template::GoogleChat, &hostile(), "1", "")["text"]) <= 4_096);
        assert!(
            body(Template::Ntfy, &hostile(), "", "t")["message"].as_str().unwrap().len() <= 4_096
        );
    }
}
