// Errors that the page explains by their HTTP status, as those of the service.

export class Failure extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

export const unsupported = (detail) => new Failure(415, detail);
export const damaged = (what) => new Failure(422, `the file is damaged: ${what}`);
export const impossible = (detail) => new Failure(422, detail);
