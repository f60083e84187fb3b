// What a browser says of its page and of the network, as inputs of the machine. Decides nothing.

import type { Input } from "./machine.ts";

/** Whether there is a page: Node and workers have none. */
export const hasPage = (): boolean => typeof document !== "undefined" && typeof window !== "undefined";

export const isHidden = (): boolean => hasPage() && document.visibilityState === "hidden";

/** Tells what happens to the page, until the signal. */
export function followPage(take: (input: Input) => void, whoLooks: "follow" | "ignore", signal: AbortSignal, kept: () => Kept): void {
  window.addEventListener("pagehide", () => take({ is: "left" }), { signal });
  window.addEventListener("pageshow", () => take({ is: "returned", kept: kept() }), { signal });
  document.addEventListener("resume", () => take({ is: "woken" }), { signal });
  if (whoLooks === "ignore") return;
  const looked = () => {
    take({ is: "background", background: isHidden() });
    if (!isHidden()) take({ is: "woken" });
  };
  document.addEventListener("visibilitychange", looked, { signal });
  window.addEventListener("online", () => take({ is: "networkBack" }), { signal });
  window.addEventListener("offline", () => take({ is: "networkGone" }), { signal });
}

type Kept = (Input & { is: "returned" })["kept"];
