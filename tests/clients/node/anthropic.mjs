// Anthropic's Node SDK: whole and streamed.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({
  baseURL: process.argv[2].replace(/\/v1$/, ""),
  apiKey: "none",
  maxRetries: 0,
});
const ask = {
  model: "gosling",
  max_tokens: 100,
  temperature: 0,
  messages: [{ role: "user", content: "What is 17 + 25?" }],
};
const whole = await client.messages.create(ask);
const streamed = await client.messages.stream(ask).finalText();
console.log(
  JSON.stringify({ whole: whole.content[0].text, stop: whole.stop_reason, streamed }),
);
