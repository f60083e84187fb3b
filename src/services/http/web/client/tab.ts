// What a tab keeps of a terminal while none of its pages has it: instance, session and home, in its `sessionStorage`. A page that takes
// them removes them, and puts them back when it leaves. So a tab that is duplicated gets a terminal of its own, since browsers copy
// the storage. Knows no connection.

import type { Kept } from "./machine.ts";

export class Tab {
  readonly #key: string;

  constructor(userId: string, platform: string) {
    this.#key = `holdfast ${platform} ${userId}`;
  }

  /** `null` if nothing is kept, or another page has it. */
  take(): Kept | null {
    try {
      const text = sessionStorage.getItem(this.#key);
      sessionStorage.removeItem(this.#key);
      const [first = "", second, home = null] = (text ?? "").split(" ");
      const [instance, session] = [BigInt(first), second === undefined ? undefined : BigInt(second)];
      return instance && session !== undefined ? { instance, session, home } : null;
    } catch {
      // The browser forbids the storage, or somebody has written something else there.
      return null;
    }
  }

  put({ instance, session, home }: Kept): void {
    try {
      // A URL has no spaces.
      sessionStorage.setItem(this.#key, [instance, session, ...(home === null ? [] : [home])].join(" "));
    } catch {
      // Forbidden, or full: the next page logs in afresh.
    }
  }
}
