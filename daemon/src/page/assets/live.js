// Live pictures: parts of one answer that does not end, each with the number of its frame.

/** Milliseconds before it is tried again. */
const AGAIN = 2000;
/** Larger than any picture. */
const MOST = 32 << 20;

/** Takes bytes as they come, gives the parts that are whole: their headers and bodies. */
class Parts {
  head = "";
  headers = null;
  body = null;
  filled = 0;

  *feed(bytes) {
    let at = 0;
    while (at < bytes.length) {
      if (!this.body) {
        // Headers are short; one byte after the other does no harm.
        this.head += String.fromCharCode(bytes[at]);
        at += 1;
        if (!this.head.endsWith("\r\n\r\n")) {
          if (this.head.length > 4096) throw new Error("no head of a picture");
          continue;
        }
        this.headers = new Map([...this.head.matchAll(/^([\w-]+): *(.*?)\r$/gm)].map(([, name, value]) => [name.toLowerCase(), value]));
        this.head = "";
        const length = Number(this.headers.get("content-length"));
        if (!(length >= 0 && length <= MOST)) throw new Error("no length of a picture");
        this.body = new Uint8Array(length);
        this.filled = 0;
      }
      const piece = bytes.subarray(at, at + this.body.length - this.filled);
      this.body.set(piece, this.filled);
      this.filled += piece.length;
      at += piece.length;
      if (this.filled === this.body.length) {
        yield { headers: this.headers, body: this.body };
        this.body = null;
      }
    }
  }
}

export class Live {
  /** Pictures of `path` go to `take` as { bitmap, frame, decided }, while it is on. */
  constructor(path, take) {
    this.path = path;
    this.take = take;
    this.reading = null;
  }

  turn(on) {
    if (on === (this.reading !== null)) return;
    this.reading?.abort();
    this.reading = on ? new AbortController() : null;
    if (on) this.read(this.reading);
  }

  async read(reading) {
    try {
      const answer = await fetch(this.path, { signal: reading.signal });
      if (!answer.ok) throw new Error(answer.statusText);
      const reader = answer.body.getReader();
      const parts = new Parts();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        let last = null;
        // Of several that came at once the newest is seen.
        for (const part of parts.feed(value)) last = part;
        if (last) await this.develop(last, reading);
      }
    } catch {
      // A node that goes away is told of elsewhere.
    }
    if (this.reading === reading) setTimeout(() => this.reading === reading && this.read(reading), AGAIN);
  }

  async develop({ headers, body }, reading) {
    if (body.length === 0) return;
    const bitmap = await createImageBitmap(new Blob([body], { type: "image/jpeg" }));
    if (this.reading !== reading) return bitmap.close();
    this.take({ bitmap, frame: Number(headers.get("x-fieldmark-frame")), decided: headers.get("x-fieldmark-decided") === "yes" });
  }
}
