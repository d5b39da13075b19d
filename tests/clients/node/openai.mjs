// OpenAI's Node SDK: whole, streamed, the stream helper, and an error.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "none", maxRetries: 0 });
const ask = {
  model: "gosling",
  temperature: 0,
  messages: [{ role: "user", content: "What is 17 + 25?" }],
};
const whole = await client.chat.completions.create(ask);
let streamed = "";
let usage = null;
const chunks = await client.chat.completions.create({
  ...ask,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of chunks) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
const helper = await client.chat.completions.stream(ask).finalChatCompletion();
const vectors = await client.embeddings.create({ model: "gosling", input: ["one", "two"] });
let refused = null;
try {
  await client.chat.completions.create({ ...ask, temperature: 9 });
} catch (error) {
  refused = { status: error.status, param: error.param, code: error.code };
}
const models = [];
for await (const model of await client.models.list()) models.push(model.id);
console.log(
  JSON.stringify({
    whole: whole.choices[0].message.content,
    streamed,
    usage: [whole.usage.total_tokens, usage.total_tokens],
    helper: helper.choices[0].message.content,
    vectors: vectors.data.map((item) => item.embedding.length),
    refused,
    models,
  }),
);
