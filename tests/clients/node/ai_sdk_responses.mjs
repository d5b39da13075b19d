// The Vercel AI SDK's provider for OpenAI, which speaks the Responses API only.
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, streamText } from "ai";

const model = createOpenAI({ baseURL: process.argv[2], apiKey: "none" })("gosling");
const ask = { model, maxRetries: 0, temperature: 0, prompt: "What is 17 + 25?" };
const whole = await generateText(ask);
let streamed = "";
for await (const text of streamText(ask).textStream) streamed += text;
console.log(JSON.stringify({ whole: whole.text, finishReason: whole.finishReason, streamed }));
