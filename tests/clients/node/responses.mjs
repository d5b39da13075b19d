// OpenAI's Node SDK on the Responses API: whole, continued by id, and streamed.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const ask = { model: "gosling", temperature: 0 };
const first = await client.responses.create({ ...ask, input: "My name is Orla." });
const later = await client.responses.create({
  ...ask,
  input: "What is my name?",
  previous_response_id: first.id,
});
const types = [];
let streamed = "";
for await (const event of await client.responses.create({
  ...ask,
  input: "What is 2 + 3?",
  stream: true,
})) {
  types.push(event.type);
  if (event.type === "response.output_text.delta") streamed += event.delta;
}
console.log(
  JSON.stringify({
    first: first.output_text,
    later: later.output_text,
    cached: later.usage.input_tokens_details.cached_tokens,
    streamed,
    types: [types[0], types.at(-1)],
  }),
);
