/** Keeps a defect in one page from taking the whole UI down: the rest stays usable, and the defect is told. */

import { Component, type ComponentChildren } from 'preact';

interface Props {
  children: ComponentChildren;
}

export class ErrorBoundary extends Component<Props, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined };

  override componentDidCatch(error: unknown): void {
    this.setState({ error: error instanceof Error ? error : new Error(String(error)) });
  }

  override render() {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <div class="note error" role="alert" data-testid="defect">
        <strong>This view failed: {error.message}</strong> This is a defect of hotspan; please report it with this address.{' '}
        <button type="button" class="ghost" onClick={() => this.setState({ error: undefined })}>
          Show it again
        </button>
      </div>
    );
  }
}
